"""One module per format: the content of a file, by its names in the file."""
