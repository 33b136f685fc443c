"""Running transfers from the command line: a prepared transfer, the loop, checkpoints, progress."""
