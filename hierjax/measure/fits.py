"""Where an error crosses a level, and the power law by which that grows.

All on the host, in double precision: the arrays are small.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

_NUM_RESAMPLES = 2000
_LEAST_POINTS = 3
_MOST_MISSING = 0.05


class Threshold(NamedTuple):
    """The number of examples at which an error falls below a level.

    Attributes:
      value: infinite if it does not, and the least size if it is below from the start.
      low: 2.5% quantile of the bootstrap over seeds; NaN for one seed.
      high: 97.5% quantile. Of few seeds such an interval is too narrow: with 5 it covers about
        four fifths.
    """

    value: float
    low: float
    high: float


class PowerLaw(NamedTuple):
    """threshold = prefactor * scale^exponent.

    Attributes:
      exponent: by least squares of the logarithms; NaN where too few thresholds are known.
      low: as of `Threshold`; that the law itself may be wrong is no part of it.
      high: likewise.
      prefactor: NaN likewise.
      scales: those whose thresholds lie between the least and the greatest size.
    """

    exponent: float
    low: float
    high: float
    prefactor: float
    scales: tuple[float, ...]


def crossing(sizes: Sequence[float], errors: np.ndarray, level: float) -> float:
    """Where errors fall below a level, and stay there, between two sizes linear in log size.

    Args:
      sizes: ascending.
      errors: one for each size.
      level: to be crossed.

    Returns:
      The size; infinite if the last error is not below the level, the least size if all are, and
      that of the next error where the last one above is not finite.
    """
    above = np.flatnonzero(~(np.asarray(errors) < level))
    if above.size == 0:
        return float(sizes[0])
    last = above[-1]
    if last == len(sizes) - 1:
        return math.inf
    if not math.isfinite(errors[last]):
        return float(sizes[last + 1])
    share = (errors[last] - level) / (errors[last] - errors[last + 1])
    low, high = math.log(sizes[last]), math.log(sizes[last + 1])
    return math.exp(low + share * (high - low))


def threshold(sizes: Sequence[float], errors: np.ndarray, level: float, seed: int = 0) -> Threshold:
    """Where the mean error over seeds crosses a level, with a bootstrap interval.

    Args:
      sizes: ascending.
      errors: (len(sizes), num_seeds).
      level: to be crossed.
      seed: of the resampling.
    """
    value = crossing(sizes, errors.mean(axis=1), level)
    if errors.shape[1] == 1:
        return Threshold(value, math.nan, math.nan)
    values = _resampled(sizes, errors, level, np.random.default_rng(seed))
    # Of infinite values no interpolation between two is wanted.
    low, high = np.quantile(values, [0.025, 0.975], method="nearest")
    return Threshold(value, float(low), float(high))


def power_law(
    scales: Sequence[float],
    sizes: Sequence[Sequence[float]],
    errors: Sequence[np.ndarray],
    level: float,
    seed: int = 0,
) -> PowerLaw:
    """How thresholds grow with a scale, from those that lie within the sizes that were tried.

    Args:
      scales: positive.
      sizes: for each scale, ascending.
      errors: for each scale, (len(sizes), num_seeds).
      level: to be crossed.
      seed: of the resampling, in which a threshold that is not known leaves its scale out.
    """
    rng, scales = np.random.default_rng(seed), np.asarray(scales, float)
    curves = list(zip(sizes, errors, strict=True))
    values = np.array([crossing(n, e.mean(axis=1), level) for n, e in curves])
    draws = np.stack([_resampled(n, e, level, rng) for n, e in curves])
    starts = np.array([n[0] for n, _ in curves])
    exponent, prefactor, known = _fit(scales, values, starts)
    fits = [_fit(scales, draw, starts)[0] for draw in draws.T]
    num_seeds = min(each.shape[1] for each in errors)
    # A fit that a twentieth of the resamples do not allow is no fit to claim an interval for.
    missing = np.mean(~np.isfinite(fits)) > _MOST_MISSING or num_seeds == 1
    low, high = (math.nan, math.nan) if missing else np.nanquantile(fits, [0.025, 0.975])
    return PowerLaw(exponent, float(low), float(high), prefactor, tuple(scales[known].tolist()))


def _resampled(sizes, errors: np.ndarray, level: float, rng: np.random.Generator) -> np.ndarray:
    """(num_resamples,) crossings of means over seeds drawn with replacement."""
    num_seeds = errors.shape[1]
    rows = rng.integers(num_seeds, size=(_NUM_RESAMPLES, num_seeds))
    return np.array([crossing(sizes, errors[:, row].mean(axis=1), level) for row in rows])


def _fit(scales, values, starts) -> tuple[float, float, np.ndarray]:
    known = np.isfinite(values) & (values > starts)
    if known.sum() < _LEAST_POINTS:
        return math.nan, math.nan, known
    slope, intercept = np.polyfit(np.log(scales[known]), np.log(values[known]), 1)
    return float(slope), float(np.exp(intercept)), known
