"""Runs a dream, octave by octave and frame by frame, and writes each picture as soon as it is done.

Each frame starts from the file of the previous one, so that an interrupted zoom continues with the same frames.
"""

import dataclasses
import itertools
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from nst_jax.applications import dream
from nst_jax.backbones.pretrained import Pretrained
from nst_jax.io import images
from nst_jax.io.files import remove
from nst_jax.io.images import Picture
from nst_jax.loop import run, stage
from nst_jax.problem import Transfer, seed_key
from nst_jax.settings import Settings

from ..showing.layout import Heading, Tile
from ..showing.sheet import draw_grid

_OCTAVE, _FRAME, _SHEET = "octave{}.png", "frame{:05d}.png", "sheet.png"


@dataclasses.dataclass(frozen=True)
class Dreaming:
    """A dream: its images, its settings, and its folder.

    Attributes:
        pretrained: the backbone.
        settings: the settings of each octave.
        content: the content image.
        guide: the guide `[H, W, 3]`, if there is one.
        octaves: number of octaves.
        scale: ratio of sizes from one octave to the next.
        seed: seed of the jitter.
        workdir: folder for everything that is written.
        record: the settings that are embedded in each picture.
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

    def run_octaves(
        self, stopping: Callable[[], bool], follow: Callable[[int, int], None]
    ) -> Iterator[tuple[dream.Octave, Path]]:
        """Dreams until asked to stop, and yields each octave with its file; the last one is the result.

        An octave that was stopped has no file yet.

        Args:
            stopping: see `dream.dream`.
            follow: see `dream.dream`.

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
            follow=follow,
        )
        for octave in found:
            path = self.workdir / _OCTAVE.format(octave.stage + 1)
            if octave.finished:
                self.write(path, octave.picture)
            yield octave, path

    def write(self, path: Path, pixels: np.ndarray) -> None:
        """Writes a picture with the EXIF of the content image, and with its alpha if the sizes agree."""
        same = pixels.shape == self.content.pixels.shape
        alpha = self.content.alpha if same else None
        images.write(path, self.content._replace(pixels=pixels, alpha=alpha), settings=self.record)

    def draw_sheet(self, content: Path, octaves: list[Path]) -> None:
        """Draws the content image and the octaves side by side as sheet.png."""
        labels = ("content image", *(f"octave {index}" for index in range(1, len(octaves) + 1)))
        tiles = {(0, column): Tile(path) for column, path in enumerate([content, *octaves])}
        layers = ", ".join(self.settings.dream_layers)
        title = f"{content.stem}: dreams of {self.pretrained.backbone.name}, {layers}"
        draw_grid(self.workdir / _SHEET, tiles, columns=[Heading("", labels)], title=title)

    def written(self) -> list[Path]:
        """Returns the files that a run may write or remove."""
        octaves = [self.workdir / _OCTAVE.format(index + 1) for index in range(self.octaves)]
        return [*octaves, self.workdir / _SHEET, *self._left_frames()]

    def remove_frames(self) -> None:
        """Removes the frames of an earlier zoom."""
        for path in self._left_frames():
            remove(path)

    def begin_zoom(self, picture: np.ndarray) -> None:
        """Writes frame 0, the dream that the zoom starts from."""
        self.write(self._frame(0), picture)

    def first_frame(self) -> np.ndarray:
        """Returns frame 0; raises UserError if it cannot be read."""
        return images.read(self._frame(0)).pixels

    def frames(self) -> list[Path]:
        """Returns the existing frames, from 0 to the first gap."""
        paths = (self._frame(index) for index in itertools.count())
        return list(itertools.takewhile(Path.exists, paths))

    def run_frames(self, *, count: int, steps: int, factor: float) -> Iterator[int]:
        """Makes the missing frames after frame 0, and yields the number of frames done.

        Args:
            count: number of frames.
            steps: steps of gradient ascent per frame.
            factor: magnification from one frame to the next.

        Raises:
            UserError: a frame cannot be read or written.
        """
        settings, done = dataclasses.replace(self.settings, steps=steps), len(self.frames()) - 1
        transfer: Transfer | None = None
        while done < count:
            before = images.read(self._frame(done)).pixels
            if transfer is None:
                transfer = dream.prepare(self.pretrained, settings, before.shape, guide=self.guide, seed=self.seed)
            done += 1
            moved = transfer.replace(key=seed_key((self.seed + done) % 2**32))  # else all frames would be shifted alike
            *_, last = run([stage(moved, dream.zoom(before, factor), steps=steps)])
            self.write(self._frame(done), jax.device_get(last.result))
            yield done

    def _left_frames(self) -> list[Path]:
        return list(self.workdir.glob(_FRAME.replace("{:05d}", "?????")))

    def _frame(self, index: int) -> Path:
        return self.workdir / _FRAME.format(index)


def is_same_run(path: Path, identity: Mapping[str, Any]) -> bool:
    """Returns whether a record was written by a run with the same identity."""
    try:
        return json.loads(path.read_bytes())["identity"] == json.loads(json.dumps(identity))
    except (OSError, ValueError, LookupError, TypeError):
        return False
