"""Measurements of the package, side by side in one run, as JSON and the tables made from them."""
