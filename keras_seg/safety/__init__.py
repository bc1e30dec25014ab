"""Defences against hostile input: recipe files, and names of classes and files."""
