"""Trains a network that paints photographs in several styles, in one pass.

    python -m experiments.train --contents=photographs/ --style=starry_night.jpg,wave.jpg
    python -m experiments.train --contents=photographs/ --style=scream.jpg --finetune=network.safetensors
    python -m experiments.train --contents=photographs/ --styles=paintings/
    python -m experiments.train --style=painting.jpg --style_regions=painting_regions.png

Dumoulin, Shlens & Kudlur, "A Learned Representation for Artistic Style", ICLR 2017, and Johnson, Alahi & Fei-Fei,
"Perceptual Losses for Real-Time Style Transfer and Super-Resolution", ECCV 2016: the objective of
`experiments.stylize`, on random squares of many photographs. With --styles the network learns to see style images, and
so paints in any style (Ghiasi et al., BMVC 2017); with --style_regions it paints from maps of regions, without a
photograph (Ulyanov, "Feed-forward neural doodle", 2016). Writes the network, and to --workdir checkpoints,
losses.csv, losses.png, run.json, and, as it goes on, sample pictures of photographs that it does not train with, on
sheet.png and index.html. The same command continues a training that was stopped or killed, to the same bytes, and with
more --steps a finished one. Photographs that cannot be read are skipped. All devices share each batch; with
--engine=slurm|kubernetes those of --workers processes, on any number of hosts, which it starts; with --distributed
those of processes that are started by other means.
"""

import dataclasses
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from nst_jax.backbones import pretrained
from nst_jax.errors import UserError
from nst_jax.io.files import check_folder, check_target

from .cli import stopping
from .cli.flags import run_script
from .cli.folders import asked_for, default_folder
from .cli.transfer_flags import check_own, digest
from .engines import giving
from .training.flags import TrainFlags, style_paths

if TYPE_CHECKING:
    from .training.running import Result


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(TrainFlags):
    """The flags, by whose module processes of an engine find the script."""


_SUFFIX = ".safetensors"
_OF_THE_RUN = (
    "steps",
    "show_every",
    "distributed",
    "coordinator_address",
    "num_processes",
    "process_id",
    "licence",
    "samples",
)


def run(config: Config) -> "Result":
    """Runs the script.

    Raises:
        UserError: the input cannot be used, and then nothing is written; or the training diverged, or something could
            not be written.
    """
    styles = [] if config.styles else style_paths(config)
    maps = [Path(config.style_regions)] if config.style_regions else []
    backbone = pretrained.resolve(config.backbone)
    if config.workdir:
        workdir = Path(config.workdir)
    else:
        digests = {f"style{number}": digest(path) for number, path in enumerate([*styles, *maps])}
        about = asked_for(config, {**digests, "backbone": backbone}, but=(*_OF_THE_RUN, "style", "style_regions"))
        title = "-".join(path.stem for path in styles) or Path(str(config.styles)).name
        workdir = default_folder("train", title, about)
    output = Path(config.output) if config.output else workdir / f"network{_SUFFIX}"
    if output.suffix != _SUFFIX:
        raise UserError(f"--output: expected a file that ends in {_SUFFIX}, found {output.name}; choose another name")
    inputs = {f"style{number}": path for number, path in enumerate(styles, 1)}
    if maps:
        inputs["map"] = maps[0]
    check_own(output, {**inputs, "network": Path(config.finetune)} if config.finetune else inputs)
    check_folder(workdir)
    if output.parent.absolute() != workdir.absolute():
        check_target(output)
    giving.check(config)
    from .training import hosts, running, together  # with JAX, for which --help should not wait

    if config.engine != "none":
        return together.run(config, workdir, output)
    hosts.join(config)
    return running.run(config, workdir, output)


def main(config: Config) -> None:
    """Runs the script and prints where the network is."""
    result = run(config)
    if result.finished:
        print(f"network: {result.output}, samples: {result.page}")
    else:
        print(f"stopped after step {result.steps}, network so far: {result.output}; the same command continues")
        sys.exit(stopping.status() or stopping.INTERRUPTED)


if __name__ == "__main__":
    run_script(Config, main)
