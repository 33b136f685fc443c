"""Sweeps: axes and their product, cells made ready and run, their records, several hosts."""
