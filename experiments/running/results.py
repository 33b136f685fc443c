"""What a run of a single transfer leaves: pictures with their settings in them, and its record."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from nst_jax.errors import UserError
from nst_jax.io import images
from nst_jax.memory import decided
from nst_jax.rendering import colour_finish
from nst_jax.vocabulary import LUMINANCE

from ..cli.run_flags import COARSE, FINE, UNTIL, SingleFlags
from ..cli.transfer_flags import describe
from .job import Job
from .run_record import versions, write_json

_RECORD = "run.json"


class Results:
    """The files of a run.

    Attributes:
        settings: everything that the picture depends on, as pictures and the record have it.
    """

    def __init__(self, job: Job, flags: SingleFlags, workdir: Path) -> None:
        """Takes the job, the flags that it was prepared with, and the folder of the run."""
        self._job, self._flags, self._workdir = job, flags, workdir
        self.settings: dict[str, Any] = {
            **describe(job.paths, job.identity),
            "preset": flags.preset,
            "steps": job.steps,
            **decided(job.settings),
            "bits": flags.bits,
            "colour_finish": flags.colour_finish,
            **{name: made_of for name in (FINE, COARSE, UNTIL) if (made_of := getattr(flags, name)) is not None},
        }
        self._versions = versions()

    def write_picture(
        self, path: Path, pixels: np.ndarray, *, finish: bool = False, more: Mapping[str, Any] | None = None
    ) -> None:
        """Writes a picture of the run.

        Args:
            path: the file.
            pixels: the picture `[H, W, 3]`, RGB in [0, 1], perhaps of a coarser scale.
            finish: whether it is finished in colour, if the flags say so.
            more: what else it depends on.

        Raises:
            UserError: it cannot be written.
        """
        job, content = self._job, self._job.content
        settings = {**self.settings, **(more or {})}
        if pixels.shape != content.pixels.shape:
            pixels = np.clip(images.resize(pixels, content.pixels.shape[:2]), 0, 1)
        recoloured = finish and self._flags.colour_finish == "oklab"
        if recoloured:
            pixels = colour_finish.finish(pixels, content.pixels, job.styles, shares=job.identity["blend_weights"])
        if job.regions is not None:
            pixels = job.regions.put_back(pixels, content.pixels, recoloured=recoloured)
        images.write(path, content._replace(pixels=pixels), bits=self._flags.bits, settings=settings)

    def write_record(self, done: int, seconds: Mapping[str, float], *, more: Mapping[str, Any] | None = None) -> None:
        """Writes the record of a run that has done some steps.

        Args:
            done: number of the steps.
            seconds: what its parts took.
            more: what else the picture depends on.

        Raises:
            UserError: it cannot be written.
        """
        record = {
            "settings": {**self.settings, **(more or {})},
            "steps_asked": self._job.steps_asked,
            "versions": self._versions,
            "device": jax.devices()[0].device_kind,
            "steps_done": done,
            "seconds": seconds,
        }
        write_json(self._workdir / _RECORD, record)


def check_finish(flags: SingleFlags, job: Job) -> None:
    """Checks that the picture of a job can be finished as flags say.

    Raises:
        UserError: it cannot.
    """
    if flags.colour_finish == "none":
        return
    if not job.styles:
        raise UserError("colour_finish: expected none without style images, found oklab; leave it out")
    if job.settings.colours in ("grey", LUMINANCE):
        raise UserError(
            f"colour_finish: expected none with colours {job.settings.colours}, found oklab; leave one of them out"
        )
