"""A wide convolutional stack, one step of its training: what is compiled for accelerators.

Nothing is run here: the program and the shapes of its arguments are for whoever compiles it.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from hierjax.models import ConvStack
from hierjax.sharding import placement
from hierjax.train import Descent, Network

_DEPTH, _WIDTH, _NUM_SYMBOLS, _NUM_CLASSES = 4, 4096, 8, 8


class WideStep(NamedTuple):
    """A step of training.

    Attributes:
      step: (key, state, inputs, labels) -> state; the memory of the state may be taken for it.
      args: shapes of its arguments, `jax.ShapeDtypeStruct`s with shardings where there is a mesh.
      flops: floating-point operations of the products of a step, on all devices.
    """

    step: jax.stages.Wrapped
    args: tuple
    flops: int


def wide_step(
    batch_size: int,
    precision: str = "bfloat16",
    mesh: Mesh | None = None,
    remat: bool = False,
    parts: int = 1,
) -> WideStep:
    """Makes a step of training a stack of width 4,096 and 4 layers by momentum.

    Args:
      batch_size: strings of a step, on all devices.
      precision: type of what is multiplied, "float32" or "bfloat16".
      mesh: the devices, as `hierjax.runs.data_mesh` makes them; None for one.
      remat: whether the derivative computes layers anew.
      parts: number of parts of the batch that are computed one after another.
    """
    module = ConvStack((2,) * _DEPTH, _NUM_SYMBOLS, _NUM_CLASSES, _WIDTH, "relu", "ntk", precision)
    descent = Descent(
        lambda rate: optax.sgd(rate, momentum=0.9),
        (0.1,),
        1,
        batch_size,
        mesh=mesh,
        parts=parts,
        in_order=True,
    )
    layer = Network(module.clone(remat=remat), descent)
    strings = jax.ShapeDtypeStruct((batch_size, 2**_DEPTH), jnp.int32)
    labels = jax.ShapeDtypeStruct((batch_size,), jnp.int32)
    key = jax.eval_shape(lambda: jax.random.key(0))
    state = jax.eval_shape(layer.start, key, strings, labels)
    places: dict[str, Any] = {}
    if mesh is not None:
        whole = NamedSharding(mesh, PartitionSpec())
        places["in_shardings"] = (whole, placement(state, mesh), whole, whole)
        places["out_shardings"] = placement(state, mesh)
    step = jax.jit(layer.advance, donate_argnums=1, **places)
    return WideStep(step, (key, state, strings, labels), batch_size * _flops())


def _flops() -> int:
    """Of the products for one string: forwards, to the weights and, but for leaves, the inputs."""
    positions, inputs, total = 2**_DEPTH, _NUM_SYMBOLS, 0
    for index in range(_DEPTH):
        positions //= 2
        total += (3 if index else 2) * 2 * positions * 2 * inputs * _WIDTH
        inputs = _WIDTH
    return total
