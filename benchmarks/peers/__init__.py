"""The same networks in other packages, each in an environment of its own."""
