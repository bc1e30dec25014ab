"""Measurements of the package: results as JSON, and tables made from them."""
