"""The folder of results where no flag names one: of its own for everything that makes other results.

So no command overwrites what another one has finished, and the same command finds its own again.
"""

import dataclasses
import hashlib
import json
import re
import unicodedata
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

_LONGEST_NAME = 120  # bytes, of the 255 that file systems allow
_ABOUT_WRITING = frozenset({"workdir", "output", "bits", "save_every", "resume"})
_ABOUT_ENGINES = frozenset({"engine", "engine_address", "engine_options", "workers", "task", "pictures_per_task"})


def default_folder(script: str, title: str, about: Any) -> Path:
    """Returns the folder in results/ for a title and everything that the results depend on, anything JSON can hold."""
    digest = hashlib.sha256(json.dumps(about).encode()).hexdigest()[:8]
    return Path("results", script, "-".join(filter(None, [plain(title), digest])))


def plain(text: str) -> str:
    """Returns a text as part of a file name: without spaces, slashes or control characters, and not too long."""
    normal = unicodedata.normalize("NFKC", text)  # 10⁻⁵ as 10−5
    name = re.sub(r"[^\w.=+,-]+", "-", normal).encode()[:_LONGEST_NAME].decode(errors="ignore")
    return name.strip("-_.,")


def asked_for(flags: Any, files: Mapping[str, str], *, but: Collection[str] = ()) -> dict[str, Any]:
    """Returns what the results of a script depend on.

    Args:
        flags: its flags, a dataclass.
        files: the flags that name files, and others → the SHA-256 of each file: what it holds counts, not its name.
        but: flags that the results do not depend on, beside those about writing them and about engines.
    """
    left_out = {*files, *but, *_ABOUT_WRITING, *_ABOUT_ENGINES}
    given = {name: value for name, value in dataclasses.asdict(flags).items() if name not in left_out}
    return {**given, **files}
