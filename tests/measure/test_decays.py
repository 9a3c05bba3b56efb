import math

import numpy as np
import pytest

from hierjax.measure.decays import decay


def test_an_exact_law_is_found_whatever_its_prefactor():
    sizes = np.array([10, 30, 400, 2000])
    errors = sizes[:, None] ** -0.5 * np.array([0.2, 1.0, 3.0])
    np.testing.assert_allclose(decay(sizes, errors), -0.5)


def test_intervals_hold_the_truth_as_often_as_they_say():
    rng, sizes = np.random.default_rng(0), 2.0 ** np.arange(6)
    inside = 0
    for _ in range(400):
        slopes = -0.6 + 0.1 * rng.standard_normal(4)
        found = decay(sizes, sizes[:, None] ** slopes)
        inside += found.low <= -0.6 <= found.high
    assert abs(inside / 400 - 0.95) < 4 * math.sqrt(0.95 * 0.05 / 400)


def test_seeds_that_diverged_are_left_out():
    sizes = np.array([1.0, 2.0, 4.0])
    found = decay(sizes, np.stack([1 / sizes, [1, math.nan, 1]], axis=1))
    np.testing.assert_allclose(found.exponent, -1)
    assert math.isnan(found.low)


def test_no_exponent_is_claimed_of_two_sizes():
    assert math.isnan(decay([1, 2], np.ones((2, 3))).exponent)


def test_errors_of_none_are_refused():
    with pytest.raises(ValueError, match="errors go down to 0, but must be above 0: clip them"):
        decay([1, 2, 3], np.array([[1.0], [0.5], [0.0]]))
