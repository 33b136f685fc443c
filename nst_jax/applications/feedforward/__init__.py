"""Networks that paint in one pass: Johnson et al. 2016 and those that followed."""
