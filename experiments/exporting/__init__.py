"""Networks that paint in the forms of others: ONNX, StableHLO, a page for the browser."""
