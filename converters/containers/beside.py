"""Descriptions in JSON, and the files with the numbers, which lie beside them or below their folder."""

import json
import os
import stat
from pathlib import Path, PurePosixPath
from typing import Any

from nst_jax.errors import one_line
from nst_jax.io.files import file_error

from .. import regions

LARGEST = 16 << 20
"""Bytes: maximal size of a description."""


def read_json(path: Path) -> Any:
    """Returns the content of a description.

    Raises:
        UserError: it is not JSON, or larger than any description.
    """
    size = regions.file_size(path)
    if size > LARGEST:
        raise file_error(path, f"expected at most {LARGEST} bytes of JSON, found {size}")
    try:
        return json.loads(regions.whole(path).read())
    except (ValueError, RecursionError) as error:
        raise file_error(path, f"expected JSON, found: {one_line(error)}; fetch it again") from error


def file(path: Path, name: Any) -> Path:
    """Returns the path of a file that the description `path` names: in its folder or below it, and no link.

    Raises:
        UserError: there is no such file, it is a link, or the name leads elsewhere.
    """
    parts = PurePosixPath(name).parts if isinstance(name, str) and name.isprintable() else ()
    if not parts or ".." in parts or name.startswith("/") or set(name) & set(":\\"):
        raise file_error(
            path,
            f"expected shards in the folder of the model, found {one_line(name)!r}; "
            "fetch them into that folder and name them in the model by their file names",
        )
    shard = path.parent
    for part in parts:
        shard = shard / part
        if _is_link(path, shard):
            raise file_error(path, f"expected a file as shard {one_line(name)}, found a link; copy the file")
    return shard


def _is_link(path: Path, shard: Path) -> bool:
    try:
        return stat.S_ISLNK(os.lstat(shard).st_mode)
    except OSError as error:
        raise file_error(
            path,
            f"expected shard {one_line(shard.name)} in the same folder, "
            f"found: {one_line(error.strerror)}; fetch all shards of the model",
        ) from error
