"""Engines that other people run: a grid's tasks are theirs to place, to repeat where a worker dies, and to show."""
