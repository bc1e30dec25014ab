"""Paired augmentation of images and masks."""
