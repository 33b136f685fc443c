"""The painters of the sample style images, one module per style."""
