"""Devices: which part of the work is where.

A mesh has two axes. Over `cells` the cells of a sweep are spread, which need nothing of each other; over `rows` the
rows of one large picture, for which XLA exchanges the borders between the parts itself. Placing the arrays is all:
programs follow them, and the numbers are those of one device.
"""

from collections.abc import Sequence
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from nst_jax import optimize
from nst_jax.errors import UserError

CELLS, ROWS = "cells", "rows"

Tree = TypeVar("Tree")


def make_mesh(*, rows: int = 1, devices: Sequence[jax.Device] | None = None) -> Mesh:
    """Returns a mesh of all devices, `rows` of them for each picture.

    Args:
        rows: into how many parts the rows of a picture are divided.
        devices: by default all that there are.

    Raises:
        UserError: the devices cannot be divided so.
    """
    devices = jax.devices() if devices is None else list(devices)
    if rows < 1 or len(devices) % rows:
        raise UserError(f"rows: expected a divisor of {len(devices)} devices, found {rows}")
    return Mesh(np.array(devices).reshape(-1, rows), (CELLS, ROWS))


def padded_to_devices(tree: Tree, mesh: Mesh) -> Tree:
    """Returns arrays of N cells with the last cell repeated, until every device has as many as the others.

    Args:
        tree: arrays with a leading axis of N cells.
        mesh: over whose `cells` they will be spread.
    """
    count = len(jax.tree.leaves(tree)[0])
    missing = -count % mesh.shape[CELLS]
    return jax.tree.map(lambda leaf: jnp.concatenate([leaf, *[leaf[-1:]] * missing]), tree)


def place_cells(tree: Tree, mesh: Mesh) -> Tree:
    """Returns arrays of N cells, N a multiple of the mesh's `cells`, spread over the devices."""
    return jax.device_put(tree, over_cells(mesh))


def over_cells(mesh: Mesh) -> NamedSharding:
    """Returns where arrays of cells lie: their leading axis over the mesh's `cells`."""
    return NamedSharding(mesh, PartitionSpec(CELLS))


def replicate(tree: Tree, mesh: Mesh) -> Tree:
    """Returns what all cells share, or all parts of a picture, with a copy on every device."""
    return jax.device_put(tree, everywhere(mesh))


def everywhere(mesh: Mesh) -> NamedSharding:
    """Returns where that lies: on every device."""
    return NamedSharding(mesh, PartitionSpec())


def place_rows(state: optimize.State, mesh: Mesh) -> optimize.State:
    """Returns the state of a single transfer with its picture, gradient and memory divided by rows.

    Raises:
        UserError: the canvas has rows that cannot be divided among the devices, or something else is optimised.
    """
    if state.point.variables.ndim != 3:
        raise UserError("rows: expected pixels or a spectrum to divide, found the weights of a network")
    height = state.point.variables.shape[0]
    if height % mesh.shape[ROWS]:
        raise UserError(
            f"rows: expected a canvas whose height is a multiple of {mesh.shape[ROWS]}, found {height}; "
            "choose another size or margin"
        )

    def place(leaf: Any) -> Any:
        is_picture = leaf.shape[-3:] == state.point.variables.shape
        axes = [None] * (leaf.ndim - 3) + [ROWS] if is_picture else []
        return jax.device_put(leaf, NamedSharding(mesh, PartitionSpec(*axes)))

    return jax.tree.map(place, state)
