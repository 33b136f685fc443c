"""Image quilting: its flags, and the comparison with a transfer."""
