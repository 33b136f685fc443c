"""Painting sample styles."""
