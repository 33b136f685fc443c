"""Paints a photograph in the manner of a painting as before neural networks, and beside it as they do.

    python -m experiments.quilting --content=photo.jpg --style=painting.jpg
    python -m experiments.quilting --mode=texture --style=painting.jpg --enlarge=2

Image quilting (Efros & Freeman, SIGGRAPH 2001) lays blocks of the painting that are as bright as the photograph is
there and fit their neighbours, and joins them along cuts that show least. The neural picture is that of
`experiments.stylize`, whose flags these are as well; both pictures are measured by the loss that it minimises. Expect
in --workdir quilting.png (or --output), neural.png, sheet.png with the photograph, the painting and both, and
quilting.json with settings, times and losses. With --mode=texture there is no photograph, and texture.png is a larger
piece of the painting. Without any flags: sample pictures, 512 pixels, the best installed network; with the embedded
SqueezeNet 3 minutes on 2 cores, of which quilting takes one.
"""

from typing import TYPE_CHECKING

from nst_jax.errors import UserError

from .cli.flags import run_script
from .cli.transfer_flags import STYLE, inputs, places, styles
from .quilts.flags import QuiltingFlags

if TYPE_CHECKING:
    from .quilts.compare import Result

Config = QuiltingFlags


def run(config: Config) -> "Result":
    """Runs the script.

    Raises:
        UserError: the input cannot be used, and then nothing is written; or the neural run diverged, or the disk is
            full.
    """
    paths = inputs(config)
    if len(styles(paths)) != 1:
        raise UserError(f"--style: expected one painting to take blocks from, found {len(styles(paths))}; give one")
    if config.mode == "texture":
        paths = {STYLE: paths[STYLE]}
    picture = {"transfer": "quilting.png", "texture": "texture.png"}[config.mode]
    workdir, output = places(config, paths, script="quilting", picture=picture)
    from .quilts import compare  # with JAX, for which --help should not wait

    make = {"transfer": compare.compare, "texture": compare.enlarge}[config.mode]
    return make(config, paths, workdir, output)


def main(config: Config) -> None:
    """Runs the script and says where the pictures are."""
    result = run(config)
    print(f"picture: {result.output}, all side by side: {result.sheet}")


if __name__ == "__main__":
    run_script(Config, main)
