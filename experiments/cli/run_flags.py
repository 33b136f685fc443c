"""Flags for running a transfer, or a grid of transfers."""

import dataclasses
from pathlib import Path
from typing import Literal, TypeVar

from nst_jax.errors import UserError
from nst_jax.io.stores import located

from .flags import Checked, FileOrAddress, flag
from .transfer_flags import STYLE, TransferFlags, inputs, is_style

FINE, COARSE, UNTIL = "style_fine", "style_coarse", "fine_until"


@dataclasses.dataclass(frozen=True, kw_only=True)
class StrokeFlags(TransferFlags):
    """Flags of a transfer whose style image may be made first, of two others."""

    style_fine: FileOrAddress | None = flag(
        None, "Image of fine strokes, from which with --style_coarse a style image is made first, in place of --style."
    )
    style_coarse: FileOrAddress | None = flag(
        None, "Image of coarse forms and colours, which with the strokes of --style_fine is the style image."
    )
    fine_until: str | None = flag(
        None,
        "Last of the style layers at which the style image is to be like --style_fine; by default relu2_1 on VGG "
        "networks, fire2/concat on SqueezeNet. A later one takes over more than strokes.",
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class SingleFlags(StrokeFlags):
    """Flags of a single transfer, and for running it."""

    bits: Literal[8, 16] = flag(8, "Bits per channel of the resulting picture; 16 in PNG and TIFF only.")
    colour_finish: Literal["none", "oklab"] = flag(
        "none",
        "Colours of the finished picture: none leaves them, oklab gives it the palette of the style image, laid out "
        "smoothly as the colours of the content image.",
    )
    save_every: int = flag(
        100, "Number of steps between checkpoints and intermediate pictures; 0 means neither.", least=0
    )
    resume: bool = flag(False, "Continue from the last checkpoint in --workdir.")


def parts(flags: StrokeFlags) -> dict[str, Path]:
    """Returns the two images that the style image is made of, as `style_coarse` and `style_fine`, or nothing.

    Raises:
        UserError: one of them is missing, or there is nothing for the flags to act on.
    """
    given = {name: getattr(flags, name) for name in (COARSE, FINE)}
    if not any(given.values()):
        if flags.fine_until is not None:
            raise UserError(f"--{UNTIL}: expected --{FINE} and --{COARSE} with it, found neither; leave it out")
        return {}
    for name, path in given.items():
        if not path:
            raise UserError(f"--{name}: expected an image, as --{FINE} and --{COARSE} go together, found none")
    if flags.style is not None:
        raise UserError(
            f"--{STYLE}: expected none with --{FINE} and --{COARSE}, of which the style image is made; leave out either"
        )
    return {name: located(path) for name, path in given.items()}


def files(flags: StrokeFlags) -> dict[str, Path]:
    """Returns the images to read: `inputs`, with `parts` in place of the style image if it is made of these.

    Raises:
        UserError: see both.
    """
    of = parts(flags)
    return {**{name: path for name, path in inputs(flags).items() if not (of and is_style(name))}, **of}


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClusterFlags(Checked):
    """Flags that say how many processes compute as one, who starts them, and how they find each other.

    On clusters that JAX knows (Slurm, Cloud TPU, ...) processes need none to find each other.
    """

    engine: Literal["none", "slurm", "kubernetes"] = flag(
        "none",
        "What starts --workers processes that compute together, and starts them again where some are lost; none is "
        "this process alone, or with --distributed those that are started by other means.",
    )
    engine_options: tuple[str, ...] = flag(
        (),
        "What the engine has to know, as name=value: nodes, timeout_min, slurm_partition, gpus_per_node, ... for slurm "
        "(those of submitit), image, claim, mount, gpus, name for kubernetes.",
    )
    workers: int = flag(
        2, "Number of processes that the engine starts, one for each GPU where there are some.", least=1
    )
    distributed: bool = flag(
        False, "Compute together with other processes, all with the same flags and access to --workdir."
    )
    coordinator_address: str | None = flag(
        None, "Address of the first process as host:port, where the cluster does not provide it."
    )
    num_processes: int | None = flag(
        None, "Number of processes on all hosts together, where the cluster does not provide it.", least=1
    )
    process_id: int | None = flag(
        None, "Index of this process, counted from 0, where the cluster does not provide it.", least=0
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class EngineFlags(Checked):
    """Flags that say who does work that has parts: the cells of a grid, the pictures of a folder."""

    engine: Literal["none", "dask", "ray", "slurm", "kubernetes"] = flag(
        "none",
        "What does the work: none is this process; the others give it in parts to workers, any of which may die.",
    )
    engine_address: str | None = flag(
        None,
        "Address of a cluster of dask or ray that runs already, as tcp://host:8786; by default workers start on this "
        "machine.",
    )
    engine_options: tuple[str, ...] = flag(
        (),
        "What the engine has to know, as name=value: minimum, maximum (workers that come and go with the work) for "
        "dask, num_gpus, num_cpus for ray, timeout_min, slurm_partition, ... for slurm (those of submitit), image, "
        "claim, mount, gpus for kubernetes.",
    )
    workers: int = flag(2, "Number of workers of an engine that start on this machine, or that there are.", least=1)
    task: int | None = flag(None, "Do one task alone, as a worker does: its number, from 0.", least=0)


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunFlags(EngineFlags):
    """Flags for running a grid."""

    workdir: FileOrAddress | None = flag(
        None, "Folder for everything that the run writes, here or at s3:// or gs://; by default one in results/."
    )
    cells_per_task: int | Literal["auto"] = flag(
        "auto", "Number of cells that a worker gets at once; auto makes four tasks a worker.", least=1
    )
    cells_per_batch: int | Literal["auto"] = flag(
        "auto", "Number of cells that run at once; auto means as many as fit into memory.", least=1
    )
    save_every: int = flag(100, "Number of steps between checkpoints of a cell; 0 means no checkpoints.", least=0)
    keep_going: bool = flag(
        False, "Leave out cells whose images or networks cannot be used, instead of rejecting the whole grid."
    )
    retry_failed: bool = flag(False, "Run cells again that have failed before, as those whose loss was no number.")


Flags = TypeVar("Flags", bound=EngineFlags)


def in_this_process(flags: Flags) -> Flags:
    """Returns flags with which a grid is run here, whoever runs the one that it belongs to."""
    return dataclasses.replace(flags, engine="none", engine_address=None, engine_options=())
