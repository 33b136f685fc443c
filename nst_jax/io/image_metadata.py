"""Metadata of pictures: the part of the source's EXIF that is carried along, and the settings that made a picture."""

import json
import struct
from collections.abc import Mapping
from contextlib import suppress

from PIL import ExifTags, Image

MAX_EXIF = 32_768  # half of what a JPEG holds, the other half is for the settings
ORIENTATION, DESCRIPTION = ExifTags.Base.Orientation, ExifTags.Base.ImageDescription

_EXIF = b"Exif\0\0"
_ASCII, _UTF_8 = 2, 129  # types of EXIF
_SETTINGS = "nst_jax settings: "  # marks an ImageDescription as ours
# Carried along are description, make, model, orientation, software, date, artist, copyright and Windows' XP tags; the
# other tags of IFD0 describe how the source was encoded (in a TIFF: where its strips are).
_CARRIED = {DESCRIPTION, 0x010F, 0x0110, ORIENTATION, 0x0131, 0x0132, 0x013B, 0x8298, *range(0x9C9B, 0x9CA0)}
# Of the sub-IFDs, MakerNote (its offsets are absolute), colour space, size, interoperability and gamma are outdated.
_OUTDATED = {0x927C, 0xA001, 0xA002, 0xA003, 0xA005, 0xA500}


def carried(exif: Image.Exif) -> bytes:
    """Returns the EXIF block to carry along, with orientation 1; b"" where there is nothing to carry.

    Raises:
        ValueError: it is longer than `MAX_EXIF`.
    """
    kept = Image.Exif()
    for tag in _CARRIED & exif.keys():
        kept[tag] = 1 if tag == ORIENTATION else exif[tag]
    if str(kept.get(DESCRIPTION)).startswith(_SETTINGS):
        del kept[DESCRIPTION]  # they describe the source, not the picture made from it
    for ifd in (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo):
        if tags := {tag: value for tag, value in exif.get_ifd(ifd).items() if tag not in _OUTDATED}:
            kept[ifd] = tags
    block = as_block(kept) if kept else b""
    if len(block) > MAX_EXIF:
        raise ValueError(f"{len(block):,} bytes, more than {MAX_EXIF:,}")
    return block


class _Text(str):
    """A text of EXIF. Pillow reads its bytes as Latin-1, whatever they are, and writes ASCII: here, the same bytes."""

    def encode(self, *_: str) -> bytes:
        return super().encode("latin-1", "replace")


def as_block(exif: Image.Exif) -> bytes:
    """Returns the bytes of an EXIF block; texts that came from a file keep theirs, which are UTF-8 in most."""
    inner = [ifd for ifd in (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo) if ifd in exif]
    # A directory is a dictionary where it was set, and an offset where it was loaded.
    for tags in (exif, *(exif[ifd] if isinstance(exif[ifd], dict) else exif.get_ifd(ifd) for ifd in inner)):
        for tag, value in tags.items():
            if isinstance(value, str):
                tags[tag] = _Text(value)
    return exif.tobytes()


def with_known_types(block: bytes) -> bytes:
    """Returns an EXIF block with the UTF-8 texts of EXIF 3.0 as texts of the type that Pillow does not leave out."""
    start = len(_EXIF) if block.startswith(_EXIF) else 0
    order = {b"II": "<", b"MM": ">"}.get(block[start : start + 2])
    changed = bytearray(block)
    if order is None:
        return block
    with suppress(struct.error):  # what is damaged is for Pillow to find
        pending, seen = [struct.unpack_from(f"{order}I", block, start + 4)[0]], set()
        while pending:
            directory = start + pending.pop()
            if directory in seen:
                continue
            seen.add(directory)
            (count,) = struct.unpack_from(f"{order}H", block, directory)
            for entry in range(directory + 2, directory + 2 + 12 * count, 12):
                tag, kind, _, value = struct.unpack_from(f"{order}HHII", block, entry)
                if kind == _UTF_8:
                    struct.pack_into(f"{order}H", changed, entry + 2, _ASCII)
                if tag in (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo):
                    pending.append(value)
    return bytes(changed)


def add_settings(exif: Image.Exif, settings: Mapping[str, object]) -> None:
    """Writes settings, anything JSON can hold, into the ImageDescription, in place of the source's."""
    exif[DESCRIPTION] = _SETTINGS + json.dumps(settings)


def added_settings(exif: Image.Exif) -> str | None:
    """Returns the settings that `add_settings` wrote into an EXIF block, as JSON; None where it did not."""
    description = str(exif.get(DESCRIPTION))
    return description.removeprefix(_SETTINGS) if description.startswith(_SETTINGS) else None


def settings_text(description: object) -> str:
    """Returns the settings in the ImageDescription of a file, as JSON; an empty text where there are none."""
    return str(description).partition(_SETTINGS)[2]
