"""Plots: how every one of them begins and ends."""
