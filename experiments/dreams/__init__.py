"""Dreams, octave by octave and frame by frame."""
