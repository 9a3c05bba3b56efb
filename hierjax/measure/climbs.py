"""In which order coefficients grow while a network is trained (arXiv 2108.10573)."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from hierjax.checks import require_shape


class Climb(NamedTuple):
    """When each coefficient first reaches a level, and whether they get there one after another.

    Attributes:
      reached: (num_seeds, K) float64 steps at which each coefficient first reaches the level,
        infinite if it never does.
      in_order: (num_seeds,) whether all reach it, none before the one ahead of it.
      strictly: (num_seeds,) whether all reach it, each after the one ahead of it.
    """

    reached: Float[np.ndarray, "num_seeds K"]
    in_order: Bool[np.ndarray, " num_seeds"]
    strictly: Bool[np.ndarray, " num_seeds"]


def climb(
    trace: Float[np.ndarray, "num_seeds looks K"], steps: Int[np.ndarray, " looks"], level: float
) -> Climb:
    """Returns when each coefficient of a trace reaches a level.

    Args:
      trace: (num_seeds, looks, K) coefficients at each look.
      steps: (looks,) steps after which the looks were taken, ascending.
      level: to be reached.

    Raises:
      ValueError: there is not one step for each look, or the steps do not ascend.
    """
    require_shape("trace", trace, (None, None, None), "give (num_seeds, looks, K)")
    require_shape("steps", steps, trace.shape[1:2], "give the step of each look")
    if not steps.size or not (np.diff(steps) > 0).all():
        raise ValueError(f"steps={steps.tolist()} must ascend, and be at least one")
    above = trace >= level
    first = steps[above.argmax(axis=1)]
    all_reached, gaps = np.all(above.any(axis=1), axis=1), np.diff(first, axis=1)
    return Climb(
        reached=np.where(above.any(axis=1), first, np.inf),
        in_order=all_reached & (gaps >= 0).all(axis=1),
        strictly=all_reached & (gaps > 0).all(axis=1),
    )
