"""Quilts: their flags, and the comparison with a transfer."""
