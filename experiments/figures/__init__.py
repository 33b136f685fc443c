"""Figures that complement those of a sweep."""
