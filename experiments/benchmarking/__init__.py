"""The benchmark: workload, measurements, memory, PyTorch's side, report."""
