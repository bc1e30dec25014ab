"""Folders of images and masks as data sets."""
