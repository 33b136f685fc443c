"""The flags of how a transfer is run, or a grid of them."""

import dataclasses
from typing import Literal

from experiments._flags import Checked, flag
from experiments._transfer_flags import TransferFlags


@dataclasses.dataclass(frozen=True, kw_only=True)
class SingleFlags(TransferFlags):
    """How a single transfer is run."""

    bits: Literal[8, 16] = flag(8, "per channel of the picture that comes out; 16 in PNG and TIFF only")
    save_every: int = flag(100, "steps between two checkpoints and pictures on the way; 0: none", least=0)
    resume: bool = flag(False, "go on from the last checkpoint in --workdir")


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClusterFlags(Checked):
    """How the processes find each other; on a cluster that JAX knows (Slurm, Cloud TPU, ...) by themselves."""

    distributed: bool = flag(False, "several processes share the cells; all need the same flags and see --workdir")
    coordinator_address: str | None = flag(None, "host:port of the first process, where the cluster does not tell")
    num_processes: int | None = flag(None, "of all hosts, where the cluster does not tell", least=1)
    process_id: int | None = flag(None, "of this process, from 0, where the cluster does not tell", least=0)


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunFlags(ClusterFlags):
    """How a grid is run."""

    workdir: str | None = flag(None, "folder for everything that the run writes; by default one in results/")
    cells_per_batch: int | Literal["auto"] = flag("auto", "cells that run at once; auto: as many as fit", least=1)
    save_every: int = flag(100, "steps between two checkpoints of a cell; 0: none", least=0)
    keep_going: bool = flag(False, "leave out cells whose pictures cannot be read, instead of computing none")
