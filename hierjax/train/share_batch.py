"""A batch divided between the devices that train one model together."""

from typing import Any

import jax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

PyTree = Any


def share_batch(batch: PyTree, mesh: Mesh) -> PyTree:
    """Divides the leading axis of arrays, within a jitted function, between devices.

    Args:
      batch: arrays whose leading axis is a multiple of the number of devices.
      mesh: from `data_mesh`.

    Raises:
      ValueError: the devices do not divide the batch.
    """
    for leaf in jax.tree.leaves(batch):
        if leaf.shape[0] % mesh.size:
            raise ValueError(
                f"a batch of {leaf.shape[0]} cannot be divided between {mesh.size} devices: make "
                f"it a multiple of {mesh.size}"
            )
    return jax.lax.with_sharding_constraint(batch, NamedSharding(mesh, PartitionSpec("data")))
