import math

import numpy as np
import pytest

from hierjax.measure import fits
from hierjax.measure.fits import crossing, power_law, threshold

SIZES = (100, 200, 400, 800)


def curves(law, sizes, num_seeds, rng, spread=0.2):
    """Errors (sizes, seeds) that fall as 1 / n and are 1/2 where n is the law's."""
    own = law * np.exp(spread * rng.standard_normal(num_seeds))
    return 0.5 * own[None] / np.asarray(sizes, float)[:, None]


def test_a_crossing_is_linear_in_the_logarithm_of_the_size():
    np.testing.assert_allclose(crossing(SIZES, [0.9, 0.6, 0.4, 0.1], 0.5), 200 * 2**0.5)
    np.testing.assert_allclose(crossing(SIZES, [0.9, 0.8, 0.7, 0.1], 0.4), 400 * 2**0.5)


def test_errors_must_stay_below_the_level():
    np.testing.assert_allclose(crossing(SIZES, [0.3, 0.6, 0.4, 0.1], 0.5), 200 * 2**0.5)


@pytest.mark.parametrize("last", [0.5, 0.7, math.nan])
def test_a_level_that_is_not_crossed_is_crossed_at_infinity(last):
    assert crossing(SIZES, [0.9, 0.6, 0.4, last], 0.5) == math.inf


@pytest.mark.parametrize("diverged", [math.nan, math.inf])
def test_beside_a_diverged_error_there_is_nothing_to_interpolate(diverged):
    assert crossing(SIZES, [0.9, diverged, 0.4, 0.1], 0.5) == 400


def test_errors_below_the_level_from_the_start_cross_at_the_least_size():
    assert crossing(SIZES, [0.4, 0.3, 0.2, 0.1], 0.5) == 100


def test_an_interval_ends_where_more_was_not_tried():
    errors = np.array([[0.9, 0.6], [0.6, 0.55], [0.4, 0.5], [0.1, 0.4]])
    assert threshold(SIZES, errors, 0.5).high == math.inf
    assert threshold(SIZES, errors / 2, 0.25).low >= 100
    found = threshold(SIZES, 1 - errors[::-1], 0.5)
    assert found.low == 100


@pytest.mark.parametrize("num_seeds", [4, 12])
def test_the_interval_of_a_threshold_covers_it_as_often_as_it_says(num_seeds):
    rng, sizes = np.random.default_rng(0), 100 * 2.0 ** np.arange(5)
    covered = 0
    for _ in range(100):
        errors = curves(400, sizes, num_seeds, rng)
        found = threshold(sizes, errors, 0.5)
        assert found.low <= found.value <= found.high
        covered += found.low <= 400 * math.exp(0.02) <= found.high
    assert 0.87 <= covered / 100 < 1


def test_one_seed_has_no_interval():
    found = threshold(SIZES, np.array([[0.9], [0.6], [0.4], [0.1]]), 0.5)
    assert math.isfinite(found.value)
    assert math.isnan(found.low)
    assert math.isnan(found.high)


def test_a_power_law_is_found_and_its_interval_covers_it():
    rng, scales = np.random.default_rng(1), (8, 12, 16, 24)
    sizes = [0.5 * d**3 * 2.0 ** np.arange(5) for d in scales]
    errors = [curves(2 * d**3, n, 8, rng) for d, n in zip(scales, sizes, strict=True)]
    law = power_law(scales, sizes, errors, 0.5)
    np.testing.assert_allclose(law.exponent, 3, atol=0.3)
    assert law.low < 3 < law.high < law.low + 1
    np.testing.assert_allclose(law.prefactor * 16**law.exponent, 2 * 16**3, rtol=0.3)
    assert law.scales == scales
    assert power_law(scales, sizes, errors, 0.5) == law


def test_a_law_is_found_although_the_largest_thresholds_are_not_reached():
    """Leaving them out, or taking the largest size for them, would bend the law."""
    rng, scales = np.random.default_rng(2), (8, 10, 12, 16, 24, 32)
    sizes = [250 * 2.0 ** np.arange(6)] * 6
    errors = [curves(2 * d**3, n, 8, rng, 0.01) for d, n in zip(scales, sizes, strict=True)]
    law = power_law(scales, sizes, errors, 0.5)
    assert law.scales == (8, 10, 12)
    np.testing.assert_allclose(law.exponent, 3, atol=0.1)
    noisy = [curves(2 * d**3, n, 8, rng, 0.3) for d, n in zip(scales, sizes, strict=True)]
    assert power_law(scales, sizes, noisy, 0.5).exponent > 2.3


def test_thresholds_below_the_least_size_count_as_such():
    rng, scales = np.random.default_rng(4), (4, 6, 12, 16, 20)
    sizes = [1500 * 2.0 ** np.arange(6)] * 5
    errors = [curves(2 * d**3, n, 8, rng, 0.01) for d, n in zip(scales, sizes, strict=True)]
    law = power_law(scales, sizes, errors, 0.5)
    assert law.scales == (12, 16, 20)
    np.testing.assert_allclose(law.exponent, 3, atol=0.05)


def test_two_thresholds_make_no_law():
    rng, scales = np.random.default_rng(3), (8, 12, 16, 24)
    sizes = [500 * 2.0 ** np.arange(4)] * 4
    errors = [curves(2 * d**3, n, 8, rng, 0.01) for d, n in zip(scales, sizes, strict=True)]
    law = power_law(scales, sizes, errors, 0.5)
    assert law.scales == (8, 12)
    assert math.isnan(law.exponent)
    assert math.isnan(law.low)


@pytest.mark.parametrize("largest", [5, 3])
@pytest.mark.parametrize("num_seeds", [3, 10])
def test_intervals_of_exponents_cover_them_as_often_as_they_say(num_seeds, largest, monkeypatch):
    """Largest 3: every other threshold lies beyond the sizes that were tried."""
    monkeypatch.setattr(fits, "_NUM_RESAMPLES", 200)
    rng, covered, scales = np.random.default_rng(5), 0, (8, 16, 24, 48, 96, 192)
    for _ in range(80):
        sizes = [0.3 * min(d, 8 * 2 ** (largest - 2)) ** 1.5 * 2.0 ** np.arange(6) for d in scales]
        errors = [
            curves(d**1.5, n, num_seeds, rng, 0.3) for d, n in zip(scales, sizes, strict=True)
        ]
        law = power_law(scales, sizes, errors, 0.5)
        covered += law.low <= 1.5 <= law.high
    assert covered / 80 >= 0.85


def test_seeds_that_diverged_are_left_out_of_the_means():
    errors = np.array([[0.9, 0.7, 0.8], [0.4, 0.2, 0.3], [0.1, 0.1, 0.1]])
    diverged = np.column_stack([errors, [math.nan] * 3])
    assert threshold(SIZES[:3], diverged, 0.5).value == threshold(SIZES[:3], errors, 0.5).value
    diverged[1] = math.nan
    assert threshold(SIZES[:3], diverged, 0.5).value == 400
