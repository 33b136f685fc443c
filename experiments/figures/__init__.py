"""Figures beside a sweep's own."""
