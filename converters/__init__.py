"""Conversion of weight files of other programs to the interchange file; one module per format."""
