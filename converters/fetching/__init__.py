"""What fetching is made of: published files, downloads, packages of PyPI."""
