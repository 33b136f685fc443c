"""What formats are made of: HDF5, zip archives, pickles, protobuf; and programs that may crash on them."""
