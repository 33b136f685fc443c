"""Running `experiments.sweep` on small pictures, in this process or as a command, and reading what it left."""

import csv
import json
import subprocess
import sys
import time
from pathlib import Path

from experiments import sweep

ROOT = Path(__file__).parents[2]
LAYERS = ("conv1", "fire2/concat")


def config(pictures, workdir, **changes):
    return sweep.Config(
        **{
            "contents": (str(pictures / "photo.png"),),
            "styles": (str(pictures / "first.png"), str(pictures / "second.png")),
            "workdir": str(workdir),
            "backbone": ("squeezenet1_1",),
            "size": (48,),
            "steps": (3,),
            "style_layers": (LAYERS,),
            "content_layers": (("fire2/concat",),),
            "optimizer": ("adam",),
            **changes,
        }
    )


def command(pictures, workdir, *flags, styles="first.png,second.png"):
    return [
        *(sys.executable, "-m", "experiments.sweep", f"--workdir={workdir}", "--backbone=squeezenet1_1", "--size=48"),
        *("--style_layers=conv1,fire2/concat", "--content_layers=fire2/concat", "--optimizer=adam"),
        f"--contents={pictures / 'photo.png'}",
        f"--styles={','.join(str(pictures / name) for name in styles.split(','))}",
        *flags,
    ]


def start(*arguments, **options):
    return subprocess.Popen(
        command(*arguments, **options), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def wait_for(found, *processes, seconds=60):
    for _ in range(20 * seconds):
        if found():
            return
        assert all(process.poll() is None for process in processes), [process.communicate()[0] for process in processes]
        time.sleep(0.05)
    raise TimeoutError


def records(workdir):
    return {path.stem: json.loads(path.read_text()) for path in sorted((workdir / "cells").glob("*.json"))}


def rows(path):
    return list(csv.DictReader(path.read_text().splitlines()))


def manifest(workdir):
    return json.loads((workdir / "manifest.json").read_text())
