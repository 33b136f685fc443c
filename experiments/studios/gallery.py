"""The gallery: a folder for each run, with all that is known of it, so that it survives the server."""

import dataclasses
import json
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
from .folders import ENTRY, PICTURE, RUNS
from .protocol import Dials, Entry, Mark, NewRun, NewSweep, Stage

_ID = re.compile(r"[0-9]{8}-[0-9]{6}-[0-9a-f]{6}")
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
            content=new.content,
            styles=list(new.styles),
            regions=new.regions,
            style_regions=list(new.style_regions),
            dials=dict(new.dials),
            axes=dict(new.axes) if isinstance(new, NewSweep) else {},
            each_style=isinstance(new, NewSweep) and new.each_style,
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

    def used_images(self) -> set[str]:
        """Returns the ids of the images that runs have."""
        found: set[str] = set()
        for entry in self.entries.values():
            found.update([entry.content, *entry.styles, *entry.style_regions, *filter(None, [entry.regions])])
        return found


def _read(folder: Path) -> Entry | None:
    """Returns the entry in a folder; None if there is none that can be used."""
    try:
        found = json.loads((folder / ENTRY).read_bytes())
        hints = typing.get_type_hints(Entry)
        kept: dict[str, Any] = {name: found[name] for name in hints if name in found}
        kept["marks"] = [Mark(**{**mark, "moves": _moves(mark)}) for mark in found["marks"]]
        kept["stages"] = [Stage(**{**stage, "moves": _moves(stage)}) for stage in found["stages"]]
        entry = Entry(**kept)
        if entry.id != folder.name or not isinstance(entry.dials, dict):
            return None
        entry.name = one_line(entry.name)
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return None
    return entry


def _moves(found: Any) -> list[tuple[int, Dials]]:
    return [(int(step), dict(dials)) for step, dials in found["moves"]]
