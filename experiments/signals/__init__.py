"""Signals: read and written, synthesised, drawn, and an electrocardiogram to begin with."""
