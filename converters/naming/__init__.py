"""What layers of the networks here are called in files of other programs, a module for each family."""
