"""Whether what is known of a task predicts what a learner makes of it."""

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.stats import rankdata

from hierjax.checks import require_shape

_NUM_RESAMPLES = 2000
_CONFIDENCE = 0.975


class RankCorrelation(NamedTuple):
    """Spearman's rank correlation, with a bootstrap interval of 95%.

    Attributes:
      value: the correlation; NaN if one of the two is the same everywhere.
      low: lower end of the interval; NaN likewise.
      high: upper end of the interval.
    """

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.2f} ({self.low:.2f}, {self.high:.2f})"


def rank_correlation(
    causes: Float[np.ndarray, " seeds"], effects: Float[np.ndarray, " _"], seed: int = 0
) -> RankCorrelation:
    """Correlates the ranks of two numbers over seeds; those that are equal share a rank.

    Args:
      causes: (seeds,) numbers.
      effects: (seeds,) numbers.
      seed: seed of the resamples of the seeds.

    Raises:
      ValueError: there is not one of each for every seed, or there are fewer than three seeds.
    """
    require_shape("causes", causes, (None,), "give a number for each seed")
    require_shape("effects", effects, causes.shape, "give a number for each seed")
    num_seeds = len(causes)
    if num_seeds < 3:
        raise ValueError(f"{num_seeds} seeds have no rank correlation: give at least 3")
    (value,) = _correlations(causes[None], effects[None]).tolist()
    if math.isnan(value):
        return RankCorrelation(value, value, value)
    rows = np.random.default_rng(seed).integers(num_seeds, size=(_NUM_RESAMPLES, num_seeds))
    draws = _correlations(causes[rows], effects[rows])
    low, high = np.nanquantile(draws, [1 - _CONFIDENCE, _CONFIDENCE]).tolist()
    return RankCorrelation(value, low, high)


def _correlations(
    causes: Float[np.ndarray, "R seeds"], effects: Float[np.ndarray, "R seeds"]
) -> Float[np.ndarray, " R"]:
    ranks = [rankdata(each, axis=1) for each in (causes, effects)]
    one, other = (each - each.mean(axis=1, keepdims=True) for each in ranks)
    with np.errstate(invalid="ignore"):
        return (one * other).sum(axis=1) / np.sqrt((one**2).sum(axis=1) * (other**2).sum(axis=1))
