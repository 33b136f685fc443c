"""Sweeps: axes and their product, preparing and running cells, their records, and their shares."""
