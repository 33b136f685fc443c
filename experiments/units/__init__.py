"""Units of a network by name, the patches that excite them, sheets of patches."""
