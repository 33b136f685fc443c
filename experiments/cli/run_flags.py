"""Flags for running a transfer, or a grid of transfers."""

import dataclasses
from typing import Literal

from .flags import Checked, FilePath, flag
from .transfer_flags import TransferFlags


@dataclasses.dataclass(frozen=True, kw_only=True)
class SingleFlags(TransferFlags):
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


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClusterFlags(Checked):
    """Flags by which processes find each other; on clusters that JAX knows (Slurm, Cloud TPU, ...) none are needed."""

    distributed: bool = flag(
        False, "Share the cells among several processes, all with the same flags and access to --workdir."
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
class RunFlags(ClusterFlags):
    """Flags for running a grid."""

    workdir: FilePath | None = flag(None, "Folder for everything that the run writes; by default one in results/.")
    cells_per_batch: int | Literal["auto"] = flag(
        "auto", "Number of cells that run at once; auto means as many as fit into memory.", least=1
    )
    save_every: int = flag(100, "Number of steps between checkpoints of a cell; 0 means no checkpoints.", least=0)
    keep_going: bool = flag(False, "Leave out cells whose images cannot be read, instead of rejecting the whole grid.")
