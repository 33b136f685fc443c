"""Scripts, one a job: `python -m experiments.NAME --help`."""
