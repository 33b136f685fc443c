"""Placement of arrays on several devices.

A mesh has two axes. Over `cells` it spreads the cells of a sweep, which are independent; over `rows` the rows of one
large picture, whose borders XLA exchanges itself, or its tiles. Placing the arrays suffices: programs follow them, and
the numbers are those of one device. Only tiles are told of the mesh, as they are a loop in which XLA divides nothing.
"""

import dataclasses
from collections.abc import Sequence
from typing import TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from nst_jax import optimize, stacking
from nst_jax.errors import UserError
from nst_jax.problem import Transfer
from nst_jax.tiling import ROWS

CELLS = "cells"

Tree = TypeVar("Tree")


def make_mesh(*, rows: int = 1, devices: Sequence[jax.Device] | None = None) -> Mesh:
    """Returns a mesh of all devices, `rows` of them for each picture.

    Args:
        rows: number of parts into which the rows of a picture are divided.
        devices: the devices; by default all.

    Raises:
        UserError: the number of devices is no multiple of `rows`.
    """
    devices = jax.devices() if devices is None else list(devices)
    if rows < 1 or len(devices) % rows:
        raise UserError(f"rows: expected a divisor of {len(devices)} devices, found {rows}")
    return Mesh(np.array(devices).reshape(-1, rows), (CELLS, ROWS))


def place_cells(tree: Tree, mesh: Mesh) -> Tree:
    """Returns arrays of N cells spread over the devices; N is a multiple of the mesh's `cells`."""
    return jax.device_put(tree, over_cells(mesh))


def over_cells(mesh: Mesh) -> NamedSharding:
    """Returns the sharding of cells: the leading axis over the mesh's `cells`."""
    return NamedSharding(mesh, PartitionSpec(CELLS))


def replicate(tree: Tree, mesh: Mesh) -> Tree:
    """Returns arrays that all cells, or all parts of a picture, share, with a copy on every device.

    Where devices are those of several processes, each of these gives the same values: nothing is sent to compare them.
    """
    sharding = everywhere(mesh)
    if sharding.is_fully_addressable:
        return jax.device_put(tree, sharding)
    return jax.tree.map(lambda leaf: jax.make_array_from_process_local_data(sharding, np.asarray(leaf)), tree)


def everywhere(mesh: Mesh) -> NamedSharding:
    """Returns the sharding of shared arrays: a copy on every device."""
    return NamedSharding(mesh, PartitionSpec())


def place_batch(batch: stacking.Batch, mesh: Mesh) -> stacking.Batch:
    """Returns a batch with its cells spread over the devices, and shared arrays on each of them."""
    each, everyone = over_cells(mesh), everywhere(mesh)
    cells = stacking.map_cells(
        lambda part: jax.device_put(part, each), batch.cells, shared=lambda part: jax.device_put(part, everyone)
    )
    return batch.replace(cells=cells)


def spread_tiles(transfer: Transfer, mesh: Mesh) -> Transfer:
    """Returns a single transfer whose tiles are divided among the mesh's `rows`, with its arrays on every device.

    Its state may be on every device too (`replicate`), or have its rows divided (`place_rows`).
    """
    objective = dataclasses.replace(transfer.config.objective, mesh=mesh)
    return replicate(transfer.replace(config=dataclasses.replace(transfer.config, objective=objective)), mesh)


def place_rows(transfer: Transfer, state: optimize.State, mesh: Mesh) -> optimize.State:
    """Returns the state of a single transfer with its picture, gradient and memory divided by rows.

    Raises:
        UserError: the rows of the canvas cannot be divided equally, or the variables are neither pixels nor a spectrum.
    """
    if jnp.ndim(state.variables) != 3:
        raise UserError("rows: expected pixels or a spectrum to divide, found a flat array of variables")
    height = state.variables.shape[0]
    if height % mesh.shape[ROWS]:
        raise UserError(
            f"rows: expected a canvas whose height is a multiple of {mesh.shape[ROWS]}, found {height}; "
            "choose another size or margin"
        )

    def place(leaf: jax.Array) -> jax.Array:
        return jax.device_put(leaf, NamedSharding(mesh, PartitionSpec(*[None] * (leaf.ndim - 3), ROWS)))

    whole = jax.device_put(state, everywhere(mesh))
    return optimize.map_variables(transfer.solver, whole, place)
