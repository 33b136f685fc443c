"""The pictures that a run without any settings works on."""

from pathlib import Path

import skimage

STYLES = Path(__file__).parents[1] / "samples"


def photograph() -> Path:
    """Returns a public-domain photograph that scikit-image ships: Eileen Collins, by NASA."""
    return Path(skimage.__file__).parent / "data" / "astronaut.png"


def painting() -> Path:
    """Returns a painting that `experiments.make_styles` made."""
    return STYLES / "flow.jpg"


def two_paintings() -> tuple[Path, Path]:
    """Returns two of them that differ as much as possible."""
    return painting(), STYLES / "woodblock.jpg"
