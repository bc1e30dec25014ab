"""Image and mask files, and images in memory, as arrays of pixels."""
