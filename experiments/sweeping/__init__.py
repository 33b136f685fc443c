"""Sweeps: axes and their product, preparing and running cells, their records, several hosts."""
