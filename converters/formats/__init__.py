"""One module a format: what is in a file, by the names that the file gives it."""
