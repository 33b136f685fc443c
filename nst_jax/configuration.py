"""The static part of a transfer, which is compiled: network, formulas, solver, and what the canvas is made of."""

import dataclasses

import jax

from nst_jax import lbfgs, optimize, solvers
from nst_jax.backbones.spec import Backbone
from nst_jax.objective import Objective
from nst_jax.rendering.luminance import greys
from nst_jax.rendering.parameterization import PARAMETERIZATIONS, Parameterizer
from nst_jax.rendering.transformation import Transformation
from nst_jax.settings import Settings
from nst_jax.terms import TERMS
from nst_jax.vocabulary import LUMINANCE, Parameterization

LBFGS_SHIFT_STEPS = 9
"""Number of steps that L-BFGS has at one of several shifts, where the settings leave it open."""


@dataclasses.dataclass(frozen=True)
class TransferConfig:
    """The static, compiled part of a transfer. Hashable: a static argument of jit.

    Attributes:
        objective: the network and the formulas.
        solver: a learning rate and bounds → the solver; see `solvers.solver_of`, or any such function.
        margin: width of the margin around the picture, in pixels.
        parameterization: the variables that the canvas is rendered from.
        transformation: random transformation of the canvas before the network sees it.
        averaging: decay of the moving average of the variables that the picture is rendered from; 0 for none.
        shifts: from how many shifts the network sees the canvas by turns.
        shift_steps: number of steps from one shift to the next.
        luminance: whether luminance is painted, under the chroma of the content image.
    """

    objective: Objective
    solver: optimize.MakeSolver
    margin: int
    parameterization: Parameterization
    transformation: Transformation
    averaging: float = 0.0
    shifts: int = 1
    shift_steps: int = 1
    luminance: bool = False

    def seen(self, image: jax.Array) -> jax.Array:
        """Returns an image `[H, W, 3]` as it is painted: its luminance in three channels, or the image as it is."""
        return greys(image) if self.luminance else image

    @property
    def parameterizer(self) -> Parameterizer:
        """The functions that encode and render the canvas."""
        return PARAMETERIZATIONS[self.parameterization]


def make_config(backbone: Backbone, settings: Settings, *, solver: optimize.MakeSolver | None = None) -> TransferConfig:
    """Returns the static part of a transfer with these settings, perhaps with another solver."""
    shift_steps = settings.shift_steps or (LBFGS_SHIFT_STEPS if settings.optimizer == "lbfgs" else 1)
    objective = Objective(
        backbone=backbone,
        pooling=settings.pooling,
        padding=settings.padding,
        antialias=settings.antialias,
        precision=settings.precision,
        remat=settings.remat,
        formulas=tuple((term, kind.chosen(settings)) for term, kind in TERMS.items()),
        blending=settings.blending,
        rotations=settings.style_rotations,
        smoothing=settings.smoothing,
        tile=settings.tile if isinstance(settings.tile, int) else 0,
    )
    return TransferConfig(
        objective=objective,
        solver=solver
        or solvers.solver_of(
            settings.optimizer,
            adam_decay=settings.adam_decay,
            lbfgs_pairs=settings.lbfgs_pairs or lbfgs.PAIRS,
            change_every=shift_steps if settings.shifts > 1 else 0,
        ),
        margin=settings.margin,
        parameterization=settings.parameterization,
        transformation=Transformation(settings.jitter, settings.random_scale, settings.random_rotate),
        averaging=settings.averaging,
        shifts=1 if solver else settings.shifts,  # another solver may count on a loss that stays
        shift_steps=shift_steps,
        luminance=settings.colours == LUMINANCE,
    )
