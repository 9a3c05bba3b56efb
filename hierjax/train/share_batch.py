"""A batch divided between the devices that train one model together."""

from typing import Any

import jax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

PyTree = Any


def share_batch(batch: PyTree, mesh: Mesh) -> PyTree:
    """Divides a batch between devices, within a jitted function.

    Args:
      batch: a pytree of arrays (B, ...), the leading axis of which is divided.
      mesh: the devices, as `hierjax.runs.data_mesh` makes them.

    Returns:
      The same arrays, with a constraint on where their parts are to be.

    Raises:
      ValueError: the number of devices does not divide B.
    """
    for leaf in jax.tree.leaves(batch):
        if leaf.shape[0] % mesh.size:
            raise ValueError(
                f"a batch of {leaf.shape[0]} cannot be divided between {mesh.size} devices: make "
                f"it a multiple of {mesh.size}"
            )
    return jax.lax.with_sharding_constraint(batch, NamedSharding(mesh, PartitionSpec("data")))
