"""Data sets around another data set: cached, resized, weighted, or without damaged files."""
