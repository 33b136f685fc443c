"""The studio: a page on one's own machine where the picture changes while one moves the dials."""
