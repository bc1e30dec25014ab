"""How often classes occur, and the weights of classes and pixels that follow from it."""
