"""Where the studio keeps what: names of files and folders below `--workdir`."""

from pathlib import Path

IMAGES, RUNS = "images", "runs"

ENTRY = "studio.json"
PICTURE, DEEP_PICTURE, THUMBNAIL = "picture.png", "picture.tiff", "thumbnail.jpg"
"""Of a run."""

RECORD, LOSSES, CHECKPOINTS, MARKS = "run.json", "losses.csv", "checkpoints", "marks"
"""Of a stage."""

SWEEP = "sweep"
"""Of a sweep, below which it has what any sweep leaves, see `sweeping.outcome`."""


def stage_folder(run: Path, stage: int) -> Path:
    """Returns the folder of a stage of a run."""
    return run / f"stage{stage}"


def start_picture(run: Path, stage: int) -> Path:
    """Returns the picture that a stage of a run starts from."""
    return run / f"start{stage}.tiff"
