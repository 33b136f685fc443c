"""Signals: files, synthesis, plots, and a generated electrocardiogram."""
