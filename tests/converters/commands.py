"""Runs the commands of `converters` as users do."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def words(name: str, *arguments: object) -> list[str]:
    """Returns the command line of a command, which makes errors of warnings."""
    return [sys.executable, "-W", "error", "-m", f"converters.{name}", *map(str, arguments)]


def settings() -> dict[str, object]:
    """Returns where and how to start it."""
    return {"cwd": ROOT, "env": os.environ | {"PYTHONPATH": str(ROOT)}, "text": True}


def run(name: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Runs a command to its end."""
    return subprocess.run(words(name, *arguments), **settings(), capture_output=True, check=False)
