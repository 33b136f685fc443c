"""Paints a photograph in the style of a painting in one pass of a network, at once and at any size.

    python -m experiments.instant photo.jpg painting.jpg
    python -m experiments.instant --content=photo.jpg --style=one.jpg,two.jpg --blend_weights=2,1 --strength=0.7
    python -m experiments.instant --contents=FOLDER --style=painting.jpg
    python -m experiments.instant --content=photo.jpg --network=pastiche26 --styles=3,7
    python -m experiments.instant --content=photo.jpg --style=sky.jpg,land.jpg --regions=photo_regions.png
    python -m experiments.instant --network=doodles.safetensors --regions=map.png

By default the network is Magenta's for any style (Ghiasi et al. 2017); any other that was converted or trained goes by
its name or its file. With --regions each region of the photograph has its own style; a network that was trained to
paint from such maps needs no photograph. Writes picture.png, and run.json to --workdir. With --contents all pictures of
a folder, or the frames of a video, are painted in few compiled programs, with --engine by workers on several devices or
machines; the same command goes on where it was stopped, and names what it leaves out. A picture that memory does not
hold is painted in tiles, with the statistics of the whole.
Without flags: sample images at 1024 pixels, in seconds, the most of which is starting.
"""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Union

from nst_jax.errors import UserError

from .cli.flags import run_script
from .cli.transfer_flags import CONTENT, REGIONS, places
from .engines import giving
from .one_pass.flags import InstantFlags, content_path, doodle_path, folder_of, map_path, style_paths, suffix_of

if TYPE_CHECKING:
    from .one_pass import folder as folders
    from .one_pass import single as singles


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(InstantFlags):
    """The flags, by whose module workers of an engine find the script."""


def run(config: Config) -> Union["singles.Result", "folders.Result"]:
    """Runs the script.

    Raises:
        UserError: the input cannot be used, and then nothing is written; or something cannot be written.
    """
    folder = folder_of(config)
    giving.check(config)
    for flag, given in (("engine", config.engine != "none"), ("task", config.task is not None)):
        if folder is None and given:
            raise UserError(f"--{flag}: expected it with a folder of --contents, found a single picture; leave it out")
    from nst_jax.applications.feedforward import trained  # with JAX, for which --help should not wait
    from nst_jax.applications.feedforward.instant import takes_images
    from nst_jax.applications.feedforward.networks import Doodle

    network_file = trained.find(config.network)
    network = trained.read(network_file)
    suffix = suffix_of(config, several=folder is not None)
    if isinstance(network.network, Doodle):
        from .one_pass import single

        paths = {**doodle_path(config), "network": network_file}
        workdir, output = places(config, paths, script="instant", picture=f"picture.{suffix}", bits=config.bits)
        return single.run_doodle(config, network, network.network, paths[REGIONS], workdir, output)
    paths = {} if folder else content_path(config)
    if takes_images(network.network):
        paths |= style_paths(config)
    paths |= {**map_path(config), "network": network_file}
    if folder is None:
        workdir, output = places(config, paths, script="instant", picture=f"picture.{suffix}", bits=config.bits)
        from .one_pass import single

        return single.run(config, network, paths[CONTENT], workdir, output)
    if config.regions:
        raise UserError("--regions: expected none with a folder, as a map is that of one picture; leave it out")
    within = dataclasses.replace(config, output=None)  # which names a folder here
    workdir, _ = places(within, paths, script="instant", picture=f"picture.{suffix}", bits=config.bits)
    from .one_pass import folder as many

    return many.run(config, network, folder, workdir, Path(config.output or workdir), suffix)


def main(config: Config) -> None:
    """Runs the script and prints where the pictures are."""
    for line in run(config).said():
        print(line)


if __name__ == "__main__":
    run_script(Config, main, bare=("content", "style"))
