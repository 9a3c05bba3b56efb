"""The quadratic Taylor model of a two-layer network, all of its choices made on validation."""

import optax

from hierjax.models.two_layer_net import TwoLayerNet
from hierjax.train.best_of import BestOf
from hierjax.train.descent import Descent
from hierjax.train.taylor_layer import TaylorLayer

_ACTIVATIONS = ("quadratic", "cosine")
_WIDTHS = (4, 16, 64, 512, 2048)
_MOST_WEIGHTS = 2**16
_RATES = (0.01, 0.03, 0.1)
_PENALTIES = (1e-7, 1e-3, 1e-2, 1e-1)
_NUM_STEPS = 1500
_PATIENCE = 400


def quadratic_learner(
    input_dim: int,
    activations: tuple[str, ...] = _ACTIVATIONS,
    widths: tuple[int, ...] = _WIDTHS,
    num_steps: int = _NUM_STEPS,
) -> tuple[BestOf]:
    """Regression by the second-order term of a `TwoLayerNet`, by Adam with a cosine schedule.

    Activation, width, learning rate, penalty and number of steps are those that err least on
    held-out examples.

    Args:
      input_dim: d, of the inputs.
      activations: tried.
      widths: tried, ascending: the least of them, and those that make at most 2^16 weights;
        with quadratic units, whose sum is a quadratic form, at most 2 d of them.
      num_steps: most steps.
    """

    def optimizer(rate):
        return optax.adam(optax.cosine_decay_schedule(rate, num_steps))

    descent = Descent(optimizer, _RATES, num_steps, penalties=_PENALTIES, patience=_PATIENCE)
    nets = [
        TwoLayerNet(width, activation)
        for activation in activations
        for width in widths
        if width == widths[0] or width <= _most_units(activation, input_dim)
    ]
    return (BestOf(tuple(TaylorLayer(net, descent) for net in nets)),)


def _most_units(activation: str, input_dim: int) -> int:
    affordable = _MOST_WEIGHTS // input_dim
    return min(affordable, 2 * input_dim) if activation == "quadratic" else affordable
