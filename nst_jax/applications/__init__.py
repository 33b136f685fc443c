"""What stands on transfers and their parts: textures, dreams, coordinate networks, patches, quilts."""
