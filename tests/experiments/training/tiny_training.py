"""`experiments.train` with a tiny network, as a script: what tests of it run in other processes, and import."""

import dataclasses

from experiments import train
from experiments.cli.flags import run_script
from nst_jax.applications.feedforward import recipes
from nst_jax.applications.feedforward.networks import Transformer, painter_steps
from nst_jax.applications.feedforward.steps import Norm


def _network(styles):
    steps = painter_steps(contract=(4, 4), residuals=1, expand=(4,), norm=Norm(code=styles))
    return Transformer(steps, styles=styles)


_OURS = recipes.named("ours", "squeezenet1_1")
RECIPE = recipes.Recipe(
    dataclasses.replace(
        _OURS.settings, content_layers=("fire2/concat",), style_layers=("conv1",), shifts=2, learning_rate=5e-4
    ),
    _network,
    batch_size=8,
    steps=6,
    fade=0.5,
)


def recipe(settings):
    return RECIPE


if __name__ == "__main__":
    recipes.ours = recipe
    run_script(train.Config, train.main)
