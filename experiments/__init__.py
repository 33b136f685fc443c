"""Scripts: `python -m experiments.NAME --help`."""
