"""By which power of the number of examples an error falls, on the host in double precision."""

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.special import stdtrit

from hierjax.checks import require_shape
from hierjax.measure.fits import Sizes

_LEAST_SIZES = 3
_CONFIDENCE = 0.975


class Decay(NamedTuple):
    """The law error ~ size^exponent, with an interval of 95% over seeds.

    That the law itself may be wrong is no part of the interval.

    Attributes:
      exponent: mean over seeds; NaN of fewer than three sizes, or if all seeds diverged.
      low: lower end of Student's interval; NaN for one seed.
      high: upper end of Student's interval; NaN for one seed.
    """

    exponent: float
    low: float
    high: float

    @property
    def text(self) -> str:
        """The exponent and its interval for people."""
        if math.isnan(self.exponent):
            return "no exponent, of fewer than three numbers of strings"
        interval = "" if math.isnan(self.low) else f" ({self.low:.2f}, {self.high:.2f})"
        return f"{self.exponent:.2f}{interval}"


def decay(sizes: Sizes, errors: Float[np.ndarray, "sizes seeds"]) -> Decay:
    """Fits by which power of the size errors fall: of each seed, least squares of logarithms.

    Args:
      sizes: positive numbers of examples, different ones.
      errors: (sizes, seeds) positive errors; a seed with one that is not finite is left out.

    Raises:
      ValueError: there is not an error for each size, or a size or error is not positive.
    """
    sizes, errors = np.asarray(sizes, float), np.asarray(errors, float)
    require_shape("errors", errors, (sizes.size, None), "give (sizes, seeds)")
    errors = errors[:, np.isfinite(errors).all(axis=0)]
    for name, values in (("sizes", sizes), ("errors", errors)):
        if (values <= 0).any():
            raise ValueError(f"{name} go down to {values.min():g}, but must be above 0: clip them")
    if sizes.size < _LEAST_SIZES or not errors.size:
        return Decay(math.nan, math.nan, math.nan)
    centred = np.log(sizes) - np.log(sizes).mean()
    slopes = centred @ np.log(errors) / (centred @ centred)
    exponent, count = float(slopes.mean()), slopes.size
    if count == 1:
        return Decay(exponent, math.nan, math.nan)
    half = float(stdtrit(count - 1, _CONFIDENCE) * slopes.std(ddof=1) / math.sqrt(count))
    return Decay(exponent, exponent - half, exponent + half)
