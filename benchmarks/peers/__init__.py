"""The same networks in other packages, each in its own environment."""
