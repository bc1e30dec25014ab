"""What the values of mask files mean, and what is wrong with them."""
