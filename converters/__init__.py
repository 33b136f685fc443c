"""Weight files of other programs to the interchange file; one module a format."""
