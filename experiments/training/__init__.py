"""Training of networks that paint: pictures loaded, the loop, what it leaves."""
