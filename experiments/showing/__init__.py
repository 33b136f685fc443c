"""Showing a sweep: contact sheet, trade-off, page, animation."""
