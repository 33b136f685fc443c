"""What comparing networks is made of: what is known of each and was measured, the curves, the page."""
