"""How one model is divided between devices: its batches, its weights, what its layers put out.

The devices form a mesh with the axes "data" and "model". Batches are divided along "data". One
table of rules, `RULES`, divides weights, and with them the optimizer's state, by their names: along
"model" (tensor parallel: every second layer divides its outputs, the layer above it its inputs),
and large ones along "data", too (fully sharded: gathered layer by layer as they are used). An axis
of one device divides nothing, so that the shape of the mesh chooses between the ways.
"""

import contextlib
import math
import re
from typing import Any

import jax
from jax.sharding import Mesh, NamedSharding, PartitionSpec, get_abstract_mesh, use_abstract_mesh
from jaxtyping import Array, Shaped

PyTree = Any

RULES: tuple[tuple[str, tuple[str | None, ...]], ...] = (
    (r"layers_\d*[02468]/kernel$", (None, "data", "model")),
    (r"layers_\d*[13579]/kernel$", (None, "model", "data")),
    (r"first/kernel$", ("data", "model")),
    (r"second/kernel$", ("model", "data")),
)
"""Pattern of the names of weights -> the axis of the mesh that divides each of their dimensions."""

# Smaller weights are on all devices: to gather them would take longer than to multiply by them.
_LEAST_ENTRIES = 2**18


def partition(name: str, shape: tuple[int, ...], mesh: Mesh) -> PartitionSpec:
    """Returns how an array of parameters, or of the optimizer's state for them, is divided.

    Args:
      name: names on the way to the array in its tree, with slashes between them.
      shape: shape of the array. An axis that does not divide a dimension evenly leaves it whole.
      mesh: the devices.
    """
    axes = next((axes for pattern, axes in RULES if re.search(pattern, name)), ())
    if len(axes) != len(shape):
        return PartitionSpec()
    large = math.prod(shape) >= _LEAST_ENTRIES
    wanted = [axis if axis == "model" or large else None for axis in axes]
    return _dividing(wanted, shape, mesh.shape)


def divide(tree: PyTree, mesh: Mesh | None) -> PyTree:
    """Divides parameters and optimizer states between devices, within a jitted function.

    Args:
      tree: a pytree of arrays, whose names `RULES` know or which every device is to have whole.
      mesh: the devices; None for one.

    Returns:
      The same arrays, with a constraint on where their parts are to be.
    """
    if mesh is None:
        return tree

    return jax.lax.with_sharding_constraint(tree, placement(tree, mesh))


def placement(tree: PyTree, mesh: Mesh) -> PyTree:
    """Returns where the parts of parameters and optimizer states are, by `RULES`.

    Args:
      tree: a pytree of arrays, or of `jax.ShapeDtypeStruct`.
      mesh: the devices.

    Returns:
      A `jax.sharding.NamedSharding` for each array.
    """

    def place(path, leaf):
        name = jax.tree_util.keystr(path, simple=True, separator="/")
        return NamedSharding(mesh, partition(name, leaf.shape, mesh))

    return jax.tree_util.tree_map_with_path(place, tree)


def share_batch(batch: PyTree, mesh: Mesh | None) -> PyTree:
    """Divides a batch between devices, within a jitted function.

    Args:
      batch: a pytree of arrays (B, ...), the leading axis of which is divided.
      mesh: the devices, as `hierjax.runs.data_mesh` makes them; None for one.

    Returns:
      The same arrays, with a constraint on where their parts are to be.

    Raises:
      ValueError: the number of devices along "data" does not divide B.
    """
    if mesh is None:
        return batch
    for leaf in jax.tree.leaves(batch):
        require_divided(leaf.shape[0], mesh)
    return jax.lax.with_sharding_constraint(batch, NamedSharding(mesh, PartitionSpec("data")))


def require_divided(batch_size: int, mesh: Mesh) -> None:
    """Refuses a batch that the devices along "data" do not divide.

    Raises:
      ValueError: they do not.
    """
    count = mesh.shape["data"]
    if batch_size % count:
        raise ValueError(
            f"a batch of {batch_size} cannot be divided between {count} devices: make it a "
            f"multiple of {count}"
        )


def model_on(mesh: Mesh | None) -> contextlib.AbstractContextManager:
    """Makes a context in which `divide_hidden` divides by these devices; None for one."""
    if mesh is None:
        return contextlib.nullcontext()
    return use_abstract_mesh(mesh.abstract_mesh)


def is_divided() -> bool:
    """Returns whether the model is traced within `model_on` for several devices."""
    return "data" in get_abstract_mesh().axis_names


def gather_weights(
    kernel: Shaped[Array, "... D W"], divides_outputs: bool
) -> Shaped[Array, "... D W"]:
    """Gathers weights along "data", as they are when a layer is applied within `model_on`."""
    if not is_divided():
        return kernel
    wanted = (None, "model") if divides_outputs else ("model", None)
    return _constrain_here(kernel, (None,) * (kernel.ndim - 2) + wanted)


def divide_hidden(
    hidden: Shaped[Array, "N ... W"], divides_outputs: bool
) -> Shaped[Array, "N ... W"]:
    """Divides what a layer puts out, where a model is traced within `model_on`.

    Without it XLA would be free to gather examples in place of weights.

    Args:
      hidden: (N, ..., W) outputs of a layer.
      divides_outputs: whether the layer divides its outputs, not its inputs, along "model".
    """
    if not is_divided():
        return hidden
    middle = (None,) * (hidden.ndim - 2)
    return _constrain_here(hidden, ("data", *middle, "model" if divides_outputs else None))


def _constrain_here(array: Shaped[Array, "..."], wanted) -> Shaped[Array, "..."]:
    spec = _dividing(wanted, array.shape, get_abstract_mesh().shape)
    return jax.lax.with_sharding_constraint(array, spec)


def _dividing(axes, shape: tuple[int, ...], sizes) -> PartitionSpec:
    pairs = zip(axes, shape, strict=True)
    return PartitionSpec(
        *(axis if axis and not size % sizes[axis] else None for axis, size in pairs)
    )
