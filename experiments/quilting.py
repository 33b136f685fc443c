"""Stylises an image by image quilting, the method from before neural networks, and compares it with the neural one.

    python -m experiments.quilting --content=photo.jpg --style=painting.jpg
    python -m experiments.quilting --mode=texture --style=painting.jpg --enlarge=2

Image quilting (Efros & Freeman, SIGGRAPH 2001) covers the picture with blocks of the style image that match the
brightness of the content image and fit their neighbours, and joins them along the cuts that show least. The neural
picture is that of `experiments.stylize`, whose flags work here too. Both pictures are measured by the loss that
`experiments.stylize` minimises. Writes to --workdir quilting.png (or --output), neural.png, sheet.png with the content
image, the style image and both results, and quilting.json with settings, times and losses.

With --mode=texture there is no content image: texture.png continues the style image over a larger area. Without flags:
sample images at 512 pixels; with the embedded SqueezeNet 3 minutes on 2 cores, one of them for quilting.
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
        raise UserError(f"--style: expected one style image to take blocks from, found {len(styles(paths))}; give one")
    if config.mode == "texture":
        paths = {STYLE: paths[STYLE]}
    picture = {"transfer": "quilting.png", "texture": "texture.png"}[config.mode]
    workdir, output = places(config, paths, script="quilting", picture=picture)
    from .quilts import compare  # with JAX, for which --help should not wait

    make = {"transfer": compare.compare, "texture": compare.enlarge}[config.mode]
    return make(config, paths, workdir, output)


def main(config: Config) -> None:
    """Runs the script and prints where the pictures are."""
    result = run(config)
    print(f"picture: {result.output}, side by side with the others: {result.sheet}")


if __name__ == "__main__":
    run_script(Config, main)
