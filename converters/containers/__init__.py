"""What formats are made of: HDF5, zip archives, pickles and state dicts, protobuf; and the sandbox for libraries."""
