"""How transfers are run from the command line: what one needs, the loop, its checkpoints."""
