"""At which number of examples an error falls below a level, and by which power law that grows.

All of it is computed on the host, in double precision, as the arrays are small.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.special import log_ndtr, ndtri, stdtrit

from hierjax.checks import require_shape

Sizes = Sequence[float] | Float[np.ndarray, " sizes"] | Int[np.ndarray, " sizes"]

_NUM_RESAMPLES = 2000
_LEAST_POINTS = 3
_MOST_MISSING = 0.05
_CONFIDENCE = 0.975
_MOST_EM_STEPS = 1000
_SLOPE_TOLERANCE = 1e-5
_LEAST_DEVIATION = 1e-3


class Threshold(NamedTuple):
    """The number of examples at which an error falls below a level, with an interval of 95%.

    The interval comes from resampled seeds, and is widened as Student's where seeds are few.

    Attributes:
      value: the number of examples; infinite if the error does not fall below the level, and the
        least size that was tried if it is below from the start.
      low: lower end of the interval; the least size that was tried if fewer examples may do, and
        NaN for one seed.
      high: upper end of the interval; infinite if more examples than were tried may be needed, and
        NaN for one seed.
    """

    value: float
    low: float
    high: float

    def text(self, least: float, most: float) -> str:
        """The threshold and its interval for people; > and < where it is beyond what was tried.

        Args:
          least: the least size that was tried.
          most: the greatest size that was tried.
        """
        if not math.isfinite(self.value):
            return f"> {most}"
        if self.value <= least:
            return f"< {least}"
        interval = "" if math.isnan(self.low) else f" ({self.low:.0f}, {self.high:.0f})"
        return f"{self.value:.0f}{interval}"


def threshold_text(found: Mapping[str, Any]) -> str:
    """Returns a threshold of a summary as people read it, see `Threshold.text`.

    Args:
      found: "value", "low" and "high" of a `Threshold`, and "tried", the least and the greatest
        size.
    """
    return Threshold(found["value"], found["low"], found["high"]).text(*found["tried"])


class PowerLaw(NamedTuple):
    """The law threshold = prefactor * scale^exponent, with an interval of 95% for the exponent.

    The interval comes from resampled seeds; that the law itself may be wrong is no part of it.

    Attributes:
      exponent: the exponent of greatest likelihood for thresholds that scatter about the law by a
        factor; one beyond the sizes that were tried counts as lying anywhere beyond them. NaN
        where fewer than three thresholds lie between the sizes that were tried.
      low: lower end of the exponent's interval; NaN for one seed or where there is no exponent.
      high: upper end of the exponent's interval; NaN for one seed or where there is no exponent.
      prefactor: the prefactor that goes with the exponent; NaN where there is no exponent.
      scales: the scales whose thresholds lie between the least and the greatest size.
    """

    exponent: float
    low: float
    high: float
    prefactor: float
    scales: tuple[float, ...]

    def text(self, scale: str) -> str:
        """The law and the interval of its exponent for people.

        Args:
          scale: what the scale is called.
        """
        if not np.isfinite([self.exponent, self.low, self.high, self.prefactor]).all():
            return "no exponent, of fewer than three thresholds or two seeds, or they vary too much"
        interval = f"({self.low:.2f}, {self.high:.2f})"
        return f"{self.prefactor:.2f} {scale}^{self.exponent:.2f} {interval}"


def crossing(
    sizes: Sizes,
    errors: Sequence[float] | Float[np.ndarray, "sizes ..."],
    level: float,
) -> Float[np.ndarray, "..."]:
    """Finds where errors fall below a level, and stay there, for good.

    Between two sizes the error is taken to be linear in the logarithm of the size.

    Args:
      sizes: numbers of examples, ascending.
      errors: (sizes, ...) an error for each size, of as many curves as there are.
      level: the level that is crossed.

    Returns:
      (...) number of examples at the crossing of each curve; infinite if the last error is not
      below the level, the least size if all errors are, and the size of the next error where the
      last one above the level is not finite.

    Raises:
      ValueError: the sizes are not positive numbers that ascend, there is not an error for each,
        or the level is not finite.
    """
    sizes, errors = np.asarray(sizes, float), np.asarray(errors, float)
    require_shape("sizes", sizes, (None,), "give a list of numbers")
    require_shape("errors", errors, (*sizes.shape, ...), "give an error for each size")
    ascends = sizes.size and sizes[0] > 0 and (np.diff(sizes) > 0).all()
    if not ascends or not np.isfinite(sizes).all():
        raise ValueError(f"sizes={sizes.tolist()} must be positive numbers that ascend")
    if not math.isfinite(level):
        raise ValueError(f"level={level} must be a finite number")
    above = ~(errors < level)
    last = len(sizes) - 1 - above[::-1].argmax(axis=0)
    following = np.minimum(last + 1, len(sizes) - 1)
    before, after = (np.take_along_axis(errors, i[None], axis=0)[0] for i in (last, following))
    low, high = np.log(sizes[last]), np.log(sizes[following])
    with np.errstate(invalid="ignore", divide="ignore"):  # Of curves that are not crossed here.
        share = (before - level) / (before - after)
        between = np.exp(low + share * (high - low))
    between = np.where(np.isfinite(before), between, sizes[following])
    found = np.where(last == len(sizes) - 1, np.inf, between)
    return np.where(above.any(axis=0), found, sizes[0])


def threshold(
    sizes: Sizes, errors: Float[np.ndarray, "sizes seeds"], level: float, seed: int = 0
) -> Threshold:
    """Finds where the mean error over seeds crosses a level, with a bootstrap interval.

    Args:
      sizes: numbers of examples, ascending.
      errors: (sizes, seeds) errors; those that are not finite are left out of the mean.
      level: the level that is crossed.
      seed: seed of the resampling.

    Returns:
      The threshold.

    Raises:
      ValueError: as of `crossing`, or there are no seeds.
    """
    _require_seeds(errors)
    value = float(crossing(sizes, _mean(errors), level))
    if errors.shape[1] == 1:
        return Threshold(value, math.nan, math.nan)
    draws = _resampled(sizes, errors, level, np.random.default_rng(seed))
    # Of infinite values no interpolation between two is wanted.
    ends = np.quantile(np.log(draws), [1 - _CONFIDENCE, _CONFIDENCE], method="nearest")
    if math.isfinite(value):
        ends = math.log(value) + (ends - math.log(value)) * _widening(errors.shape[1], 1)
    low, high = np.maximum(np.exp(ends), sizes[0]).tolist()
    return Threshold(value, low, high if high <= sizes[-1] else math.inf)


def power_law(
    scales: Sequence[float] | np.ndarray,
    sizes: Sequence[Sizes],
    errors: Sequence[Float[np.ndarray, "_ _"]],
    level: float,
    seed: int = 0,
) -> PowerLaw:
    """Fits how thresholds grow with a scale, those beyond the sizes that were tried included.

    Args:
      scales: positive numbers, such as the predicted number of examples of each task.
      sizes: for each scale, the numbers of examples that were tried, ascending.
      errors: for each scale, (sizes, seeds) errors; those that are not finite are left out of
        means.
      level: the level that errors are to cross.
      seed: seed of the resampling.

    Returns:
      The power law.

    Raises:
      ValueError: as of `crossing`, there are no seeds, or not sizes and errors for each scale, or
        a scale is not positive.
    """
    if not len(scales) == len(sizes) == len(errors) > 0:
        counts = f"{len(scales)} scales, {len(sizes)} lists of sizes and {len(errors)} of errors"
        raise ValueError(f"there are {counts}: give sizes and errors for each scale")
    if not all(0 < scale < math.inf for scale in scales):
        raise ValueError(f"scales={list(scales)} must be positive numbers")
    for each in errors:
        _require_seeds(each)
    rng = np.random.default_rng(seed)
    curves = list(zip(sizes, errors, strict=True))
    bounds = np.log([(n[0], n[-1]) for n, _ in curves])
    values = np.log(np.stack([crossing(n, _mean(e), level) for n, e in curves]))
    draws = np.stack([np.log(_resampled(n, e, level, rng)) for n, e in curves], axis=1)
    log_scales = np.log(np.asarray(scales, float))
    slopes, intercepts = _censored_lines(log_scales, np.vstack([values, draws]), bounds)
    low, high = math.nan, math.nan
    num_seeds = min(each.shape[1] for each in errors)
    # A fit that a twentieth of the resamples do not allow is no fit to claim an interval for.
    if num_seeds > 1 and np.mean(np.isnan(slopes)) <= _MOST_MISSING:
        ends = np.nanquantile(slopes[1:], [1 - _CONFIDENCE, _CONFIDENCE])
        low, high = slopes[0] + (ends - slopes[0]) * _widening(num_seeds, len(curves))
    known = np.asarray(scales, float)[_known(values, bounds)]
    return PowerLaw(
        float(slopes[0]),
        float(low),
        float(high),
        float(np.exp(intercepts[0])),
        tuple(known.tolist()),
    )


def _require_seeds(errors: Float[np.ndarray, "sizes seeds"]) -> None:
    require_shape(
        "errors", errors, (None, None), "give (sizes, seeds), of one seed errors[:, None]"
    )
    if not errors.shape[1]:
        raise ValueError(f"errors have shape {errors.shape}: give those of at least 1 seed")


def _mean(errors: Float[np.ndarray, "*sizes seeds"]) -> Float[np.ndarray, "*sizes"]:
    """Returns the mean over the seeds that did not diverge; NaN where all did."""
    finite = np.isfinite(errors)
    with np.errstate(invalid="ignore"):
        return np.where(finite, errors, 0).sum(axis=-1) / finite.sum(axis=-1)


def _resampled(
    sizes: Sizes,
    errors: Float[np.ndarray, "sizes seeds"],
    level: float,
    rng: np.random.Generator,
) -> Float[np.ndarray, " resamples"]:
    """Returns crossings (resamples,) of means over seeds that are drawn with replacement."""
    num_seeds = errors.shape[1]
    rows = rng.integers(num_seeds, size=(_NUM_RESAMPLES, num_seeds))
    return crossing(sizes, _mean(errors[:, rows]), level)


def _widening(num_seeds: int, num_curves: int) -> float:
    """Returns the factor by which a bootstrap over few seeds is too narrow for normal means."""
    freedom = num_curves * (num_seeds - 1)
    return (
        math.sqrt(num_seeds / (num_seeds - 1)) * stdtrit(freedom, _CONFIDENCE) / ndtri(_CONFIDENCE)
    )


def _known(
    values: Float[np.ndarray, "*lines K"], bounds: Float[np.ndarray, "K 2"]
) -> Bool[np.ndarray, "*lines K"]:
    return np.isfinite(values) & (values > bounds[:, 0])


def _censored_lines(
    x: Float[np.ndarray, " K"], y: Float[np.ndarray, "lines K"], bounds: Float[np.ndarray, "K 2"]
) -> tuple[Float[np.ndarray, " lines"], Float[np.ndarray, " lines"]]:
    """Fits lines through points with normal errors, some only known to lie beyond a bound.

    The fit is expectation maximisation: a censored point stands for its mean given the line and
    the bound.

    Args:
      x: (K,) abscissas.
      y: (lines, K) ordinates of K points for each line.
      bounds: (K, 2) bounds; a y at or below the first, or above the second, is censored.

    Returns:
      (lines,) slopes and (lines,) intercepts, NaN where fewer than three points are known.
    """
    known = _known(y, bounds)
    side = np.where(known, 0, np.where(y > bounds[:, 1], 1, -1))
    at_bound = np.clip(y, bounds[:, 0], bounds[:, 1])
    filled, hidden, slope = at_bound, np.zeros_like(y), np.inf
    centred = x - x.mean()
    for _ in range(_MOST_EM_STEPS):
        before, slope = slope, filled @ centred / (centred @ centred)
        if np.abs(slope - before).max() < _SLOPE_TOLERANCE:
            break
        line = filled.mean(axis=1, keepdims=True) + slope[:, None] * centred
        variance = np.mean((filled - line) ** 2 + hidden, axis=1, keepdims=True)
        deviation = np.sqrt(variance + _LEAST_DEVIATION**2)
        reach = side * (at_bound - line) / deviation
        # Mean and variance of what a normal number has beyond `reach`.
        excess = np.exp(-(reach**2) / 2 - log_ndtr(-reach)) / np.sqrt(2 * np.pi)
        filled = np.where(known, y, line + side * deviation * excess)
        hidden = np.where(known, 0, deviation**2 * np.maximum(1 + reach * excess - excess**2, 0))
    intercept = filled.mean(axis=1) - slope * x.mean()
    enough = known.sum(axis=1) >= _LEAST_POINTS
    return np.where(enough, slope, np.nan), np.where(enough, intercept, np.nan)
