"""Zip archives with uncompressed members: the place of each member in the file.

Nothing is unpacked. PyTorch and Keras do not compress members, so a compressed one was either packed again, or is a few
kilobytes meant to expand to gigabytes.
"""

import struct
import warnings
import zipfile
import zlib
from pathlib import Path
from typing import NamedTuple

from nst_jax.errors import UserError, one_line
from nst_jax.io.files import file_error

from .. import regions
from ..regions import Region

_LARGEST_DIRECTORY = 4 << 20
_BLOCK = 1 << 20

_LOCAL = struct.Struct("<4s2xHH16xHH")  # signature, flags, compression, lengths of the name and of the extra field
_LOCAL_SIGNATURE = b"PK\x03\x04"
_END = struct.Struct("<4s8xII2s")  # signature, size and position of the directory, length of the comment
_END_SIGNATURE = b"PK\x05\x06"
_LOCATOR = struct.Struct("<4s4xQ4x")  # signature, position of the end record of zip64
_LOCATOR_SIGNATURE = b"PK\x06\x07"
_END_64 = struct.Struct("<4s36xQQ")  # as the first three of _END
_END_64_SIGNATURE = b"PK\x06\x06"

_ENCRYPTED = 0x1
_UTF_8 = 0x800


class Member(NamedTuple):
    """A member of an archive.

    Attributes:
        name: its name, with slashes.
        region: its bytes.
        crc: their expected CRC-32.
    """

    name: str
    region: Region
    crc: int

    def check(self) -> None:
        """Checks that the bytes have the expected CRC-32, without keeping them.

        Raises:
            UserError: they have not, or cannot be read.
        """
        crc = 0
        for start in range(0, self.region.length, _BLOCK):
            crc = zlib.crc32(self.region.part(start, min(_BLOCK, self.region.length - start)).read(), crc)
        self._compare(crc)

    def read(self) -> bytes:
        """Returns the bytes after checking them; raises as `check` does."""
        data = self.region.read()
        self._compare(zlib.crc32(data))
        return data

    def _compare(self, crc: int) -> None:
        if crc != self.crc:
            found = f"{one_line(self.name)} with CRC-32 {crc:08x} instead of {self.crc:08x}"
            raise _damaged(self.region.path, f"{found} (PyTorch can save without checksums: then save it with them)")


def recognises(path: Path) -> bool:
    """Returns whether the file looks like a zip archive."""
    return regions.first_bytes(path, len(_LOCAL_SIGNATURE)) == _LOCAL_SIGNATURE


def names(path: Path) -> list[str]:
    """Returns the names of the members, even of those that `members` rejects.

    Raises:
        UserError: this is not a zip archive, or its directory is damaged.
    """
    _directory(regions.whole(path))
    return [entry.orig_filename for entry in _entries(path)]


def members(path: Path) -> dict[str, Member]:
    """Returns the members by their names, in the order of their bytes; reads none of them, and leaves out folders.

    Raises:
        UserError: this is not a zip archive or it is damaged; a member is compressed or encrypted, has a path outside
            its folder, is there twice, or shares bytes with another.
    """
    archive = regions.whole(path)
    directory = _directory(archive)
    found: dict[str, Member] = {}
    end = 0
    for entry in sorted(_entries(path), key=lambda entry: entry.header_offset):
        # The name as it is: `entry.filename` ends at the first zero, and may come from an extra field.
        name = entry.orig_filename
        _check_entry(path, entry, name)
        region = _region(archive, entry, name)
        if entry.header_offset < end:
            raise _damaged(path, f"{one_line(name)} in the same place as another member")
        end = region.start + region.length
        if end > directory:
            raise _damaged(path, f"{one_line(name)} reaching into the directory at {directory}")
        if name in found:
            raise file_error(path, f"expected {one_line(name)} once, found it twice; make the file again")
        found[name] = Member(name, region, entry.CRC)
    return {name: member for name, member in found.items() if not name.endswith("/")}


def _directory(archive: Region) -> int:
    """Returns the start of the directory, after checking that it is not too long.

    It must end where the records after it begin, and they must end with the file. `zipfile` would search for them
    elsewhere, and then not read the directory that was measured here.
    """
    end = archive.length - _END.size
    signature, length, start, comment = _END.unpack(archive.part(end, _END.size).read())
    if signature != _END_SIGNATURE or comment != b"\0\0":
        raise _damaged(archive.path, "no directory at its end")
    locator = end - _LOCATOR.size
    signature, position = _LOCATOR.unpack(archive.part(locator, _LOCATOR.size).read())
    if signature == _LOCATOR_SIGNATURE:
        end = locator - _END_64.size
        signature, length, start = _END_64.unpack(archive.part(end, _END_64.size).read())
        if signature != _END_64_SIGNATURE or position != end:
            raise _damaged(archive.path, "the end of its directory in another place")
    if start + length != end:
        raise _damaged(archive.path, f"a directory of {length} bytes from {start} on that does not end at {end}")
    if length > _LARGEST_DIRECTORY:
        raise file_error(archive.path, f"expected at most {_LARGEST_DIRECTORY} bytes as directory, found {length}")
    return start


def _entries(path: Path) -> list[zipfile.ZipInfo]:
    try:
        with warnings.catch_warnings(action="ignore"), zipfile.ZipFile(path) as archive:
            return archive.infolist()
    except OSError as error:
        raise regions.unreadable(path, error) from error
    except (zipfile.BadZipFile, NotImplementedError, ValueError) as error:
        raise _damaged(path, f"this problem: {one_line(error)}") from error


def _check_entry(path: Path, entry: zipfile.ZipInfo, name: str) -> None:
    parts = name.removesuffix("/").split("/")
    if {"", ".", ".."} & set(parts) or set(name) & set("\\:") or not name.isprintable():
        raise file_error(
            path, f"expected members with names such as data/0, found {one_line(name)}; do not use this file"
        )
    _check_stored(path, name, entry.flag_bits, entry.compress_type)
    if entry.compress_size != entry.file_size:
        raise _damaged(path, f"{one_line(name)} with two sizes, {entry.compress_size} and {entry.file_size}")


def _check_stored(path: Path, name: str, flags: int, compression: int) -> None:
    if flags & _ENCRYPTED:
        raise file_error(path, f"expected an archive without password, found {one_line(name)} encrypted; decrypt it")
    if compression != zipfile.ZIP_STORED:
        raise file_error(
            path,
            f"expected an archive without compression, found {one_line(name)} compressed; "
            "save the weights again, or unpack it and pack it with zip -0",
        )


def _region(archive: Region, entry: zipfile.ZipInfo, name: str) -> Region:
    """Returns the region of a member: after its local header, which must agree with the directory."""
    header = archive.part(entry.header_offset, _LOCAL.size).read()
    signature, flags, compression, name_length, extra_length = _LOCAL.unpack(header)
    if signature != _LOCAL_SIGNATURE:
        raise _damaged(archive.path, f"no member at {entry.header_offset}, where {one_line(name)} should be")
    _check_stored(archive.path, name, flags, compression)
    local = archive.part(entry.header_offset + _LOCAL.size, name_length).read()
    expected = name.encode("utf-8" if entry.flag_bits & _UTF_8 else "cp437")
    if local != expected:
        raise _damaged(archive.path, f"{one_line(local)} where {one_line(expected)} should be")
    return archive.part(entry.header_offset + _LOCAL.size + name_length + extra_length, entry.file_size)


def _damaged(path: Path, found: str) -> UserError:
    return file_error(path, f"expected an intact zip archive, found {found}; fetch or make it again")
