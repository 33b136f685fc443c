"""Images that were uploaded: kept once by what they hold, looked at before they are kept, bounded in number and size.

A file is named by its SHA-256, so that nothing that a visitor types becomes a path; the name that it had is kept beside
it, to be shown.
"""

import hashlib
import json
import re
import secrets
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

import numpy as np

from nst_jax.errors import UserError, one_line
from nst_jax.io import images, region_maps
from nst_jax.io.files import atomic_write, make_folder, remove

from ..cli import samples
from .frames import encode
from .protocol import MOST_PIXELS, Image

MOST_STORED = 4 << 30
"""Bytes of all images together; beyond, those that no run uses go, the oldest first."""

SIDES = (256, 1024, 2048)
"""Long sides in which an image is shown; a view of each is kept."""

LONGEST_NAME = 100

_ID = re.compile(r"[0-9a-f]{24}")
_DETAILS, _PART = ".json", ".part"


class Uploads:
    """The images in a folder, and the samples."""

    def __init__(self, folder: Path) -> None:
        """Takes the folder, which is made, and removes what was not finished there."""
        make_folder(folder)
        self._folder = folder
        self._samples = _samples()
        for left in folder.glob(f"*{_PART}"):
            left.unlink(missing_ok=True)

    def samples(self) -> dict[str, list[Image]]:
        """Returns the samples, as `contents` and `styles`."""
        return {
            kind: [self.image(name) for name in self._samples if name.startswith(f"sample-{kind}-")]
            for kind in ("contents", "styles")
        }

    def path(self, identity: str) -> Path:
        """Returns the file of an image.

        Raises:
            LookupError: there is none.
        """
        if identity in self._samples:
            return self._samples[identity]
        path = self._folder / self._checked(identity)
        if not path.is_file():
            raise LookupError(f"there is no image {one_line(identity, longest=40)}")
        return path

    def image(self, identity: str) -> Image:
        """Returns what is known of an image.

        Raises:
            LookupError: there is none.
        """
        path = self.path(identity)
        if identity in self._samples:
            height, width = images.shape_of(path)
            return Image(identity, path.stem, width, height)
        details = json.loads(self._details(identity).read_bytes())
        colours = [(str(colour), float(share)) for colour, share in details["colours"]]
        return Image(identity, str(details["name"]), int(details["width"]), int(details["height"]), colours)

    @contextmanager
    def part(self) -> Iterator[IO[bytes]]:
        """Opens a file for an upload on its way, which is removed at the end unless `keep` took it."""
        path = self._folder / f"{secrets.token_hex(12)}{_PART}"
        try:
            with path.open("xb") as file:
                yield file
        finally:
            path.unlink(missing_ok=True)

    def keep(self, part: IO[bytes], name: str, *, is_map: bool, used: Collection[str]) -> Image:
        """Looks at an upload and keeps it.

        Args:
            part: from `part`, with all of its bytes written.
            name: the name that the file had.
            is_map: whether it is a map of regions.
            used: ids of the images that are used by runs, which do not make room.

        Raises:
            UserError: it is no picture, or too large, or there is no room.
        """
        part.flush()
        path = Path(part.name)
        identity = _digest(path)
        try:
            colours: list[tuple[str, float]] = []
            if is_map:
                height, width, colours = _looked_at_map(path)
                identity = hashlib.sha256(f"map {identity}".encode()).hexdigest()[: len(identity)]
            else:
                height, width = self._look(path, identity)
        except UserError as error:  # it names a file that nobody knows
            raise UserError(str(error).removeprefix(f"{path}: ")) from error
        self._make_room(path.stat().st_size, used)
        details = {"name": shown_name(name), "width": width, "height": height, "colours": colours}
        with atomic_write(self._details(identity), encoding="utf-8") as file:
            json.dump(details, file)
        path.replace(self._folder / identity)
        return self.image(identity)

    def view(self, identity: str, side: int) -> bytes:
        """Returns an image as JPEG, with the least of `SIDES` as its long side that is no shorter than that asked for.

        Raises:
            LookupError: there is no such image.
            UserError: it cannot be read.
        """
        path = self.path(identity)
        side = next((own for own in SIDES if own >= side), SIDES[-1])
        kept = self._view(identity, side)
        with suppress(OSError):
            return kept.read_bytes()
        height, width = images.shape_of(path)
        return self._kept_view(identity, images.read(path, size=min(side, max(height, width))), side)

    def _look(self, path: Path, identity: str) -> tuple[int, int]:
        """Decodes an image and keeps its views; returns its height and width, upright."""
        stored = images.shape_of(path)
        if stored[0] * stored[1] > MOST_PIXELS:
            raise UserError(f"expected {MOST_PIXELS:,} pixels at most, found {stored[1]} × {stored[0]}")
        picture = images.read(path, size=min(SIDES[1], max(stored)))
        self._kept_view(identity, picture, SIDES[1])
        small = picture.pixels.shape[0] < picture.pixels.shape[1]
        return (min(stored), max(stored)) if small else (max(stored), min(stored))

    def _kept_view(self, identity: str, picture: images.Picture, side: int) -> bytes:
        data = encode(on_white(picture), side)
        with atomic_write(self._view(identity, side)) as file:
            file.write(data)
        return data

    def _make_room(self, size: int, used: Collection[str]) -> None:
        """Removes the images longest unused that no run has, until there is room.

        Raises:
            UserError: there is none.
        """
        found = [(path, path.stat()) for path in self._folder.iterdir() if _ID.fullmatch(path.name)]
        total = size + sum(status.st_size for _, status in found)
        for path, status in sorted(found, key=lambda pair: pair[1].st_mtime):
            if total <= MOST_STORED:
                return
            if path.name not in used:
                self._forget(path.name)
                total -= status.st_size
        if total > MOST_STORED:
            raise UserError(f"the images of the gallery take {total:,} bytes, the most there may be: remove some runs")

    def _forget(self, identity: str) -> None:
        for path in (self._folder / identity, self._details(identity), *(self._view(identity, own) for own in SIDES)):
            remove(path)

    def _checked(self, identity: str) -> str:
        if not _ID.fullmatch(identity):
            raise LookupError(f"there is no image {one_line(identity, longest=40)}")
        return identity

    def _details(self, identity: str) -> Path:
        return self._folder / f"{identity}{_DETAILS}"

    def _view(self, identity: str, side: int) -> Path:
        return self._folder / f"{identity}-{side}.jpg"


def shown_name(text: str) -> str:
    """Returns the name of a file as it is shown: its last part, one line, not too long."""
    return one_line(re.split(r"[/\\]", text)[-1], longest=LONGEST_NAME) or "image"


def on_white(picture: images.Picture) -> np.ndarray:
    """Returns the pixels of a picture `[H, W, 3]`, on white where it is transparent."""
    if picture.alpha is None:
        return picture.pixels
    alpha = picture.alpha[..., np.newaxis]
    return alpha * picture.pixels + (1 - alpha)


def _looked_at_map(path: Path) -> tuple[int, int, list[tuple[str, float]]]:
    """Returns height and width of a map, and its colours with their shares."""
    stored = images.shape_of(path)
    if stored[0] * stored[1] > MOST_PIXELS:
        raise UserError(f"expected {MOST_PIXELS:,} pixels at most, found {stored[1]} × {stored[0]}")
    found = region_maps.read(path)
    height, width = found.labels.shape
    colours = list(zip(map(region_maps.hexadecimal, found.colours), found.areas.tolist(), strict=True))
    return height, width, colours


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:24]


def _samples() -> dict[str, Path]:
    """Returns id → file of the samples."""
    contents = {f"sample-contents-{samples.content_image().stem}": samples.content_image()}
    return contents | {f"sample-styles-{path.stem}": path for path in samples.style_images()}
