"""All layers of a stack trained together, from the parameters that each was given alone."""

from collections.abc import Callable
from typing import Any

from flax import linen as nn
from jaxtyping import Array, Float, Shaped

from hierjax.train.descent import Descent
from hierjax.train.losses import Loss
from hierjax.train.network import Network

PyTree = Any


class _Stack(nn.Module):
    """A function of parameters, which it is given, and inputs, as a module."""

    scores: Callable[[PyTree, Array], Array]

    def __call__(self, inputs: Shaped[Array, "N ..."]) -> Float[Array, "N ..."]:
        return self.scores(self.variables["params"], inputs)


def joint_network(
    scores: Callable[[PyTree, Array], Array], params: dict, descent: Descent, loss: Loss
) -> Network:
    """Makes a network of the layers of a stack, whose descent begins at given parameters.

    Args:
      scores: (parameters, inputs (N, ...)) -> what the stack makes of them, (N, ...), which has a
        derivative.
      params: the parameters by name, such as those that training layer by layer has left, all of
        which are trained.
      descent: how they are trained.
      loss: the loss of what the stack makes of inputs.

    Returns:
      The network; `fit` takes inputs and labels, and leaves the parameters in
      `TrainedNetwork.variables` under "params".
    """
    return Network(_Stack(scores), descent, loss=loss).started_at({"params": params})
