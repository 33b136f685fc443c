"""The benchmark: workload, measurements, memory, the same in PyTorch, report."""
