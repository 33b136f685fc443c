"""The solvers by the names that settings have for them."""

import functools

from nst_jax.lbfgs import PAIRS, lbfgs
from nst_jax.optimize import MakeSolver, adam, gradient
from nst_jax.settings import Settings
from nst_jax.vocabulary import Optimizer

SOLVERS: dict[Optimizer, MakeSolver] = {"adam": adam, "lbfgs": lbfgs, "gradient": gradient}


@functools.cache
def solver_of(
    optimizer: Optimizer,
    *,
    adam_decay: float = Settings.adam_decay,
    lbfgs_pairs: int = PAIRS,
    change_every: int = 0,
) -> MakeSolver:
    """Returns one of `SOLVERS` with its options; the same object for the same, so that programs are the same too."""
    if optimizer == "adam":
        return functools.partial(adam, decay=adam_decay)
    if optimizer == "lbfgs":
        return functools.partial(lbfgs, pairs=lbfgs_pairs, change_every=change_every)
    return SOLVERS[optimizer]
