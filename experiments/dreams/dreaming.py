"""A dream as it is made: octave by octave, frame by frame, every picture written when it is there.

A frame begins from the file of the one before, so that a zoom that was stopped goes on to the same frames.
"""

import dataclasses
import itertools
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from nst_jax.applications import dream
from nst_jax.backbones.pretrained import Pretrained
from nst_jax.io import images
from nst_jax.io.images import Picture
from nst_jax.loop import run, stage
from nst_jax.settings import Settings
from nst_jax.transfer import Transfer, seed_key

from ..showing.layout import Heading, Tile
from ..showing.sheet import draw_grid

_OCTAVE, _FRAME, _SHEET = "octave{}.png", "frame{:05d}.png", "sheet.png"


@dataclasses.dataclass(frozen=True)
class Dreaming:
    """What is dreamt, and where it is written.

    Attributes:
        pretrained: the backbone.
        settings: of each octave.
        content: the photograph.
        guide: `[H, W, 3]`, if there is one.
        octaves: how many.
        scale: from one octave to the next.
        seed: of the jitter.
        workdir: for everything that is written, a folder.
        record: what a person wants to know of it, which each picture carries.
    """

    pretrained: Pretrained
    settings: Settings
    content: Picture
    guide: np.ndarray | None
    octaves: int
    scale: float
    seed: int
    workdir: Path
    record: Mapping[str, Any]

    def run_octaves(self, stopping: Callable[[], bool]) -> Iterator[tuple[dream.Octave, Path]]:
        """Dreams until it is asked to stop, and yields each octave with its file; the last one is the picture.

        Raises:
            UserError: the settings cannot be used, or something cannot be written.
        """
        found = dream.dream(
            self.pretrained,
            self.settings,
            self.content.pixels,
            octaves=self.octaves,
            scale=self.scale,
            guide=self.guide,
            seed=self.seed,
            stopping=stopping,
        )
        for octave in found:
            path = self.workdir / _OCTAVE.format(octave.stage + 1)
            self.write(path, octave.picture)
            yield octave, path

    def write(self, path: Path, pixels: np.ndarray) -> None:
        """Writes a picture, with the EXIF of the photograph, and with its alpha if it has its size."""
        same = pixels.shape == self.content.pixels.shape
        alpha = self.content.alpha if same else None
        images.write(path, self.content._replace(pixels=pixels, alpha=alpha), settings=self.record)

    def draw_sheet(self, photograph: Path, octaves: list[Path]) -> None:
        """Draws the photograph and the octaves side by side as sheet.png."""
        labels = ("photograph", *(f"octave {index}" for index in range(1, len(octaves) + 1)))
        tiles = {(0, column): Tile(path) for column, path in enumerate([photograph, *octaves])}
        layers = ", ".join(self.settings.dream_layers)
        title = f"{photograph.stem}: dreams of {self.pretrained.backbone.name}, {layers}"
        draw_grid(self.workdir / _SHEET, tiles, columns=[Heading("", labels)], title=title)

    def written(self) -> list[Path]:
        """Returns the files that a run may write or remove."""
        octaves = [self.workdir / _OCTAVE.format(index + 1) for index in range(self.octaves)]
        return [*octaves, self.workdir / _SHEET, *self._left_frames()]

    def remove_frames(self) -> None:
        """Removes the frames of an earlier zoom."""
        for path in self._left_frames():
            path.unlink()

    def begin_zoom(self, picture: np.ndarray) -> None:
        """Writes frame 0, the dream that the zoom begins with."""
        self.write(self._frame(0), picture)

    def first_frame(self) -> np.ndarray:
        """Returns the dream that the zoom begins with; raises UserError if it cannot be read."""
        return images.read(self._frame(0)).pixels

    def frames(self) -> list[Path]:
        """Returns the frames that are there, from 0 on without a gap."""
        paths = (self._frame(index) for index in itertools.count())
        return list(itertools.takewhile(Path.exists, paths))

    def run_frames(self, *, count: int, steps: int, factor: float) -> Iterator[int]:
        """Makes the frames that are missing behind frame 0, and yields how many are done.

        Args:
            count: of the frames.
            steps: of gradient ascent in each.
            factor: by which each is nearer than the one before.

        Raises:
            UserError: a frame cannot be read or written.
        """
        how, done = dataclasses.replace(self.settings, steps=steps), len(self.frames()) - 1
        job: Transfer | None = None
        while done < count:
            before = images.read(self._frame(done)).pixels
            job = job or dream.prepare(self.pretrained, how, before.shape, guide=self.guide, seed=self.seed)
            done += 1
            moved = job.replace(key=seed_key((self.seed + done) % 2**32))  # or all frames would be rolled alike
            *_, last = run([stage(moved, dream.zoom(before, factor), steps=steps)])
            self.write(self._frame(done), np.asarray(last.result))
            yield done

    def _left_frames(self) -> list[Path]:
        return list(self.workdir.glob(_FRAME.replace("{:05d}", "?????")))

    def _frame(self, index: int) -> Path:
        return self.workdir / _FRAME.format(index)


def is_same_run(path: Path, identity: Mapping[str, Any]) -> bool:
    """Returns whether a record was left by a run on which all depends that this one depends on."""
    try:
        return json.loads(path.read_bytes())["identity"] == json.loads(json.dumps(identity))
    except (OSError, ValueError, LookupError, TypeError):
        return False
