"""Pictures in one pass: the flags, single pictures, folders of them."""
