"""Neural style transfer as pure functions in JAX.

Example:
    import nst_jax

    network = nst_jax.load()
    content = nst_jax.read_image("photo.jpg", size=512)
    style = nst_jax.read_image("painting.jpg", size=512)
    stylised = nst_jax.stylize(content.pixels, style.pixels, network)
    nst_jax.write_image("stylised.png", content._replace(pixels=stylised))

The modules underneath need no import of their own: `nst_jax.losses`, `nst_jax.applications.dream`.
"""

from typing import TYPE_CHECKING

from nst_jax.lazy import attributes

if TYPE_CHECKING:  # imported by `__getattr__` at run time
    from nst_jax import activations as activations
    from nst_jax import allocator as allocator
    from nst_jax import applications as applications
    from nst_jax import backbones as backbones
    from nst_jax import batches as batches
    from nst_jax import checks as checks
    from nst_jax import commands as commands
    from nst_jax import compilation as compilation
    from nst_jax import configuration as configuration
    from nst_jax import console as console
    from nst_jax import courses as courses
    from nst_jax import defects as defects
    from nst_jax import errors as errors
    from nst_jax import free_memory as free_memory
    from nst_jax import guidance as guidance
    from nst_jax import history as history
    from nst_jax import hypercolumns as hypercolumns
    from nst_jax import io as io
    from nst_jax import lazy as lazy
    from nst_jax import lbfgs as lbfgs
    from nst_jax import loop as loop
    from nst_jax import losses as losses
    from nst_jax import measuring as measuring
    from nst_jax import memory as memory
    from nst_jax import neighbours as neighbours
    from nst_jax import objective as objective
    from nst_jax import ops as ops
    from nst_jax import optimize as optimize
    from nst_jax import parallel as parallel
    from nst_jax import presets as presets
    from nst_jax import problem as problem
    from nst_jax import pyramid as pyramid
    from nst_jax import quantiles as quantiles
    from nst_jax import ranges as ranges
    from nst_jax import regions as regions
    from nst_jax import rendering as rendering
    from nst_jax import scaled_batches as scaled_batches
    from nst_jax import settings as settings
    from nst_jax import smoothing as smoothing
    from nst_jax import solvers as solvers
    from nst_jax import stacking as stacking
    from nst_jax import statistics as statistics
    from nst_jax import surroundings as surroundings
    from nst_jax import sweeping as sweeping
    from nst_jax import targets as targets
    from nst_jax import terms as terms
    from nst_jax import tiling as tiling
    from nst_jax import transfer as transfer
    from nst_jax import vocabulary as vocabulary
    from nst_jax import wasserstein as wasserstein
    from nst_jax.backbones.pretrained import load as load
    from nst_jax.backbones.registry import BACKBONES as BACKBONES
    from nst_jax.batches import Recipe as Recipe
    from nst_jax.errors import UserError as UserError
    from nst_jax.io.images import read as read_image
    from nst_jax.io.images import write as write_image
    from nst_jax.loop import run as run
    from nst_jax.loop import stage as stage
    from nst_jax.presets import PRESETS as PRESETS
    from nst_jax.problem import Transfer as Transfer
    from nst_jax.pyramid import stylize as stylize
    from nst_jax.regions import Regions as Regions
    from nst_jax.settings import Settings as Settings
    from nst_jax.stacking import stack as stack
    from nst_jax.sweeping import sweep as sweep
    from nst_jax.transfer import prepare as prepare

__version__ = "0.1.0"

__all__ = [
    "BACKBONES",
    "PRESETS",
    "Recipe",
    "Regions",
    "Settings",
    "Transfer",
    "UserError",
    "activations",
    "allocator",
    "applications",
    "backbones",
    "batches",
    "checks",
    "commands",
    "compilation",
    "configuration",
    "console",
    "courses",
    "defects",
    "edges",
    "errors",
    "free_memory",
    "guidance",
    "history",
    "hypercolumns",
    "io",
    "lazy",
    "lbfgs",
    "load",
    "loop",
    "losses",
    "matting",
    "measuring",
    "memory",
    "neighbours",
    "objective",
    "ops",
    "optimize",
    "parallel",
    "prepare",
    "presets",
    "problem",
    "pyramid",
    "quantiles",
    "ranges",
    "read_image",
    "regions",
    "rendering",
    "run",
    "scaled_batches",
    "settings",
    "smoothing",
    "solvers",
    "stack",
    "stacking",
    "stage",
    "statistics",
    "stylize",
    "surroundings",
    "sweep",
    "sweeping",
    "targets",
    "terms",
    "tiling",
    "transfer",
    "vocabulary",
    "wasserstein",
    "write_image",
]

_PUBLIC = {
    "BACKBONES": ("nst_jax.backbones.registry", "BACKBONES"),
    "PRESETS": ("nst_jax.presets", "PRESETS"),
    "Recipe": ("nst_jax.batches", "Recipe"),
    "Regions": ("nst_jax.regions", "Regions"),
    "Settings": ("nst_jax.settings", "Settings"),
    "Transfer": ("nst_jax.problem", "Transfer"),
    "UserError": ("nst_jax.errors", "UserError"),
    "load": ("nst_jax.backbones.pretrained", "load"),
    "prepare": ("nst_jax.transfer", "prepare"),
    "read_image": ("nst_jax.io.images", "read"),
    "run": ("nst_jax.loop", "run"),
    "stack": ("nst_jax.stacking", "stack"),
    "stage": ("nst_jax.loop", "stage"),
    "stylize": ("nst_jax.pyramid", "stylize"),
    "sweep": ("nst_jax.sweeping", "sweep"),
    "write_image": ("nst_jax.io.images", "write"),
}

if not TYPE_CHECKING:  # a type checker would take every name to exist
    __getattr__, __dir__ = attributes(__name__, _PUBLIC)
