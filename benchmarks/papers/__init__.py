"""What the ideas of the papers bring, measured on both sides of each claim."""
