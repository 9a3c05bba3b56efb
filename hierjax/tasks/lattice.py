"""Locations on a ring or grid, and the windows around them.

A lattice is given by the lengths of its sides, and () stands for none. A window of radius r holds
the (2 r + 1)^dimensions locations around its own; sides wrap around.
"""

import itertools
import math
from collections.abc import Iterable

import numpy as np
from jaxtyping import Array, Int, Shaped


def check_lattice(lattice: tuple[int, ...], radius: int) -> None:
    """Refuses windows that do not fit in a lattice.

    Args:
      lattice: lengths of the sides; () for none.
      radius: radius of the windows.

    Raises:
      ValueError: a number is negative, a window is wider than a side, or there is a radius but no
        lattice.
    """
    if radius < 0 or min(lattice, default=1) < 1:
        raise ValueError(
            f"lattice={lattice} and radius={radius} must be positive numbers, 0 for no window"
        )
    if not lattice and radius:
        raise ValueError(f"radius={radius} needs a lattice: give its sides, such as (32,)")
    if lattice and 2 * radius + 1 > min(lattice):
        raise ValueError(
            f"a window of 2 * {radius} + 1 locations is wider than the side {min(lattice)} of "
            f"lattice {lattice}: lower the radius or lengthen the side"
        )


def num_locations(lattice: tuple[int, ...]) -> int:
    """Returns the number of locations of a lattice, G; 1 without a lattice."""
    return math.prod(lattice)


def window_size(lattice: tuple[int, ...], radius: int) -> int:
    """Returns the number of locations of a window; 1 without a lattice."""
    return (2 * radius + 1) ** len(lattice)


def window_table(lattice: tuple[int, ...], radius: int) -> Int[np.ndarray, "G window"]:
    """Lists the locations of each window, its own in the middle, as (G, window) int indices."""
    places = _points(map(range, lattice))
    steps = _points([range(-radius, radius + 1)] * len(lattice))
    shifted = (places[:, None] + steps[None]) % np.array(lattice, int)
    strides = [math.prod(lattice[axis + 1 :]) for axis in range(len(lattice))]
    return shifted @ np.array(strides, int)


def _points(sides: Iterable[range]) -> Int[np.ndarray, "points axes"]:
    """Lists the points (number, dimensions) of a grid in row-major order; one without sides."""
    return np.array(list(itertools.product(*sides)), int)


def gather_windows(
    values: Shaped[Array, "*N G features"], lattice: tuple[int, ...], radius: int
) -> Shaped[Array, "*N G gathered"]:
    """Collects the values in the window of each location.

    Args:
      values: (..., G, features) values at the locations.
      lattice: lengths of the sides; () for none.
      radius: radius of the windows.

    Returns:
      (..., G, window * features) values, location by location; the values themselves without a
      lattice.
    """
    if not lattice:
        return values
    windows = values[..., window_table(lattice, radius), :]
    return windows.reshape(*windows.shape[:-2], -1)
