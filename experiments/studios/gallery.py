"""The gallery: a folder for each run, with all that is known of it, so that it survives the server."""

import csv
import dataclasses
import json
import math
import re
import secrets
import shutil
import time
import typing
from pathlib import Path
from typing import Any

from nst_jax.errors import one_line
from nst_jax.io.files import make_folder

from ..running.run_record import write_json
from .folders import ENTRY, LOSSES, PICTURE, RUNS, stage_folder
from .protocol import FIRST_LOOK, Dials, Entry, Images, Losses, Mark, NewRun, NewSweep, Stage

_ID = re.compile(r"[0-9]{8}-[0-9]{6}-[0-9a-f]{6}")
_NO_TERMS = ("evaluations", "scale")
_UNDER_WAY = ("starting", "running")


class Gallery:
    """The runs in a folder."""

    def __init__(self, workdir: Path) -> None:
        """Takes the folder of the studio; what cannot be read there is left alone, and not shown."""
        self._folder = workdir / RUNS
        make_folder(self._folder)
        self.entries: dict[str, Entry] = {}
        for path in sorted(self._folder.iterdir()):
            if _ID.fullmatch(path.name) and (entry := _read(path)) is not None:
                entry.status = "stopped" if entry.status == "paused" else entry.status
                self.entries[entry.id] = entry

    def interrupted(self) -> list[Entry]:
        """Returns the runs that were under way or waited when the server ended, in the order of their turns."""
        under_way = [entry for entry in self.entries.values() if entry.status in _UNDER_WAY]
        return under_way + [entry for entry in self.entries.values() if entry.status == "waiting"]

    def add(self, new: NewRun | NewSweep, name: str) -> Entry:
        """Adds a run that waits.

        Raises:
            UserError: its folder cannot be made.
        """
        now = time.time()
        identity = f"{time.strftime('%Y%m%d-%H%M%S', time.localtime(now))}-{secrets.token_hex(3)}"
        entry = Entry(
            id=identity,
            kind="sweep" if isinstance(new, NewSweep) else "picture",
            name=name,
            created=now,
            status="waiting",
            images=Images(new.content, list(new.styles), new.regions, list(new.style_regions)),
            dials=dict(new.dials),
            axes=dict(new.axes) if isinstance(new, NewSweep) else {},
            each_style=isinstance(new, NewSweep) and new.each_style,
            first_look=new.first_look if isinstance(new, NewRun) else FIRST_LOOK,
        )
        make_folder(self.folder(identity))
        self.entries[identity] = entry
        self.write(entry)
        return entry

    def folder(self, identity: str) -> Path:
        """Returns the folder of a run."""
        return self._folder / identity

    def write(self, entry: Entry) -> None:
        """Writes what is known of a run.

        Raises:
            UserError: it cannot be written.
        """
        entry.pictures = (self.folder(entry.id) / PICTURE).is_file()
        write_json(self.folder(entry.id) / ENTRY, dataclasses.asdict(entry))

    def remove(self, identity: str) -> None:
        """Removes a run and its files."""
        del self.entries[identity]
        shutil.rmtree(self.folder(identity), ignore_errors=True)

    def losses(self, entry: Entry) -> Losses:
        """Returns the losses of the last stage of a run, as they were written; none if there are none."""
        path = stage_folder(self.folder(entry.id), max(0, len(entry.stages) - 1)) / LOSSES
        try:
            with path.open(encoding="utf-8", newline="") as file:
                names, *rows = csv.reader(file)
            columns = {name: [float(row[place]) for row in rows] for place, name in enumerate(names)}
            step, loss = [int(number) for number in columns.pop("step")], columns.pop("loss")
        except (OSError, ValueError, LookupError):
            return Losses(entry.id, 0, [], [], {})
        terms = {name: list(map(finite, values)) for name, values in columns.items() if name not in _NO_TERMS}
        return Losses(entry.id, 0, step, list(map(finite, loss)), terms)

    def used_images(self) -> set[str]:
        """Returns the ids of the images that runs have."""
        found: set[str] = set()
        for entry in self.entries.values():
            for images in (entry.images, *(stage.images for stage in entry.stages)):
                found.update([images.content, *images.styles, *images.style_regions, *filter(None, [images.regions])])
        return found


def finite(value: float) -> float | None:
    """Returns a number as JSON has it, which knows no other than finite ones."""
    return value if math.isfinite(value) else None


def _read(folder: Path) -> Entry | None:
    """Returns the entry in a folder; None if there is none that can be used."""
    try:
        found = json.loads((folder / ENTRY).read_bytes())
        hints = typing.get_type_hints(Entry)
        kept: dict[str, Any] = {name: found[name] for name in hints if name in found}
        kept["marks"] = [Mark(**{**mark, "moves": _moves(mark)}) for mark in found["marks"]]
        kept["images"] = Images(**found["images"])
        kept["stages"] = [
            Stage(**{**stage, "moves": _moves(stage), "images": Images(**stage["images"])}) for stage in found["stages"]
        ]
        entry = Entry(**kept)
        if entry.id != folder.name or not isinstance(entry.dials, dict):
            return None
        entry.name = one_line(entry.name)
        if not isinstance(entry.first_look, str):
            entry.first_look = FIRST_LOOK
        if entry.from_mark not in [mark.number for mark in entry.marks]:
            entry.from_mark = None
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return None
    return entry


def _moves(found: Any) -> list[tuple[int, Dials]]:
    return [(int(step), dict(dials)) for step, dials in found["moves"]]
