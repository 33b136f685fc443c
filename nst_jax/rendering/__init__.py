"""What is painted, and from which variables: the canvas, parameterizations, random transformations."""
