"""The building blocks of formats: HDF5, zip archives, pickles, state dicts, protobuf; and the sandbox for libraries."""
