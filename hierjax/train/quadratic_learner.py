"""The quadratic Taylor model of a two-layer network (arXiv 2006.13436, section 2).

All of its choices, such as width and learning rate, are made on held-out examples.
"""

import dataclasses
from collections.abc import Mapping

import numpy as np
import optax

from hierjax.models.activations import ACTIVATIONS
from hierjax.models.two_layer_net import TwoLayerNet
from hierjax.settings import Config, setting
from hierjax.train.best_of import BestOf
from hierjax.train.descent import Descent
from hierjax.train.taylor_layer import TaylorLayer

_MOST_STEPS = 2**24


@dataclasses.dataclass(frozen=True)
class QuadraticConfig(Config):
    """The choices that are tried for a quadratic model, between which held-out examples decide.

    Attributes:
      activations: activations of the network that are tried for the quadratic models.
      widths: widths of the network that are tried for the quadratic models, ascending: the least
        of them, and those that make no more weights than are allowed; of quadratic units, whose
        sum is a quadratic form, at most two for each input.
      most_weights: largest number of weights of a quadratic model.
      learning_rates: learning rates of Adam that are tried for the quadratic models.
      penalties: factors of the fourth-power penalty that are tried for the quadratic models.
      num_steps: largest number of steps of each fit of a quadratic model.
      patience: number of steps without improvement after which a fit of a quadratic model is
        given up.

    Raises:
      ValueError: an unknown name, or a number out of bounds.
    """

    activations: tuple[str, ...] = setting(("quadratic", "cosine"), choices=tuple(ACTIVATIONS))
    widths: tuple[int, ...] = setting((4, 16, 64, 512, 2048), least=1, most=2**16, ascending=True)
    most_weights: int = setting(2**16, least=1, most=2**24)
    learning_rates: tuple[float, ...] = setting((0.01, 0.03, 0.1), above=0)
    penalties: tuple[float, ...] = setting((1e-7, 1e-3, 1e-2, 1e-1), least=0)
    num_steps: int = setting(1500, least=1, most=_MOST_STEPS)
    patience: int = setting(400, least=1)

    def most_units(self, activation: str, input_dim: int) -> int:
        """Returns the width up to which networks are tried.

        Args:
          activation: activation of the network.
          input_dim: dimension of the inputs, d.
        """
        affordable = self.most_weights // input_dim
        return min(affordable, 2 * input_dim) if activation == "quadratic" else affordable


class QuadraticModels(BestOf):
    """The best of several Taylor models of `TwoLayerNet`, whose choices have names.

    Attributes:
      candidates: a `TaylorLayer` of a `TwoLayerNet` for each activation and width.
    """

    candidates: tuple[TaylorLayer, ...]

    def describe(self, chosen: Mapping[str, np.ndarray]) -> dict[str, list]:
        """Returns the activations and widths of the networks of all seeds, and other choices."""
        modules = [self.candidates[int(index)].module for index in chosen["candidate"]]
        others = {name: values for name, values in chosen.items() if name != "candidate"}
        return {
            "activation": [module.activation for module in modules],
            "width": [module.width for module in modules],
        } | super().describe(others)


def quadratic_learner(
    input_dim: int, config: QuadraticConfig | None = None
) -> tuple[QuadraticModels]:
    """Makes a learner of values by the second-order term of a `TwoLayerNet`.

    The term is fitted by Adam with a cosine schedule. Activation, width, learning rate, penalty
    and number of steps are those that err least on held-out examples.

    Args:
      input_dim: dimension of the inputs, d.
      config: the choices that are tried; by default `QuadraticConfig()`.

    Returns:
      A stack of one layer, from inputs (N, d) to values (N, 1).
    """
    config = QuadraticConfig() if config is None else config

    def optimizer(rate):
        return optax.adam(optax.cosine_decay_schedule(rate, config.num_steps))

    descent = Descent(
        optimizer,
        config.learning_rates,
        config.num_steps,
        penalties=config.penalties,
        patience=config.patience,
    )
    nets = [
        TwoLayerNet(width, activation)
        for activation in config.activations
        for width in config.widths
        if width == config.widths[0] or width <= config.most_units(activation, input_dim)
    ]
    return (QuadraticModels(tuple(TaylorLayer(net, descent) for net in nets)),)
