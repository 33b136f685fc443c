"""Pretrained networks: tables, the module that interprets them, their weights."""
