"""The quadratic Taylor model of a two-layer network, all of its choices made on validation."""

import optax

from hierjax.models.two_layer_net import TwoLayerNet
from hierjax.train.best_of import BestOf
from hierjax.train.descent import Descent
from hierjax.train.taylor_layer import TaylorLayer

ACTIVATIONS_TRIED = ("quadratic", "cosine")
WIDTHS_TRIED = (4, 32, 512)
_RATES = (0.01, 0.03, 0.1)
_PENALTIES = (1e-7, 1e-4, 1e-2)
_NUM_STEPS = 1500


def quadratic_learner(
    activations: tuple[str, ...] = ACTIVATIONS_TRIED,
    widths: tuple[int, ...] = WIDTHS_TRIED,
    num_steps: int = _NUM_STEPS,
) -> tuple[BestOf]:
    """Regression by the second-order term of a `TwoLayerNet`, by Adam with a cosine schedule.

    Activation, width, learning rate, penalty and number of steps are those that err least on
    held-out examples.

    Args:
      activations: tried.
      widths: tried.
      num_steps: most steps.
    """

    def optimizer(rate):
        return optax.adam(optax.cosine_decay_schedule(rate, num_steps))

    descent = Descent(optimizer, _RATES, num_steps, penalties=_PENALTIES, early_stopping=True)
    nets = [TwoLayerNet(width, each) for each in activations for width in widths]
    return (BestOf(tuple(TaylorLayer(net, descent) for net in nets)),)
