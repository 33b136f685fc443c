"""Transfers the style of one image to the content of another.

    python -m experiments.stylize photo.jpg painting.jpg
    python -m experiments.stylize --content=photo.jpg --style=painting.jpg --style_weight=200

Writes the stylised image, and to --workdir run.json (all settings, versions, times), losses.csv, losses.png,
intermediate pictures and checkpoints. Ctrl-C saves the picture so far; --resume continues from the last checkpoint and
gives the same picture as an uninterrupted run, bit for bit. Flags without a default take their value from --preset.
Without flags: sample images at 512 pixels, in 80 seconds with the embedded SqueezeNet on 2 cores.
"""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from nst_jax.backbones import pretrained

from .cli import stopping
from .cli.flags import run_script
from .cli.run_flags import SingleFlags, files, parts
from .cli.transfer_flags import places, resolve

if TYPE_CHECKING:
    from .running.single import Result

Config = SingleFlags


def run(config: Config) -> "Result":
    """Runs the script.

    Raises:
        UserError: the input cannot be used, and then nothing is written; or the run diverged, or the disk is full, and
            then the picture so far is saved if it can be.
    """
    workdir, output = places(
        config,
        files(config),
        script="stylize",
        picture="picture.png",
        bits=config.bits,
        going_on=["steps"],
        choose=lambda folder: of_this_length(folder, config),
    )
    from .running import single, strokes  # with JAX, for which --help should not wait

    if parts(config):
        painted = strokes.run(config, workdir)
        if not painted.finished:
            return painted
        config = strokes.with_style(config, painted.output)
    return single.run(config, workdir, output)


def of_this_length(folder: Path, config: Config) -> Path:
    """Returns a folder, or one beside it where that has a finished run of another length, to be resumed at most."""
    steps = resolve(config, pretrained.resolve(config.backbone)).steps
    own = folder.with_name(f"{folder.name}-{steps}")
    if own.exists():
        return own
    try:
        record = json.loads((folder / "run.json").read_bytes())
        finished, asked = record["steps_done"] == record["settings"]["steps"], record["steps_asked"]
    except (OSError, ValueError, LookupError, TypeError):  # none, or not ours
        return folder
    return own if finished and asked != steps and not config.resume else folder


def main(config: Config) -> None:
    """Runs the script and prints where the picture is."""
    result = run(config)
    if result.finished:
        print(f"picture: {result.output}")
    else:
        step = result.history.step[-1]
        print(f"stopped after step {step}, picture so far: {result.output}; continue with --resume")
        sys.exit(stopping.status() or stopping.INTERRUPTED)


if __name__ == "__main__":
    run_script(Config, main, bare=("content", "style"))
