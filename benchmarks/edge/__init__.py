"""Every network on the edge: accuracy and cost of each kind of exported file."""
