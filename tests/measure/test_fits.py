import math

import numpy as np
import pytest

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


def test_the_interval_of_a_threshold_covers_it_in_most_draws():
    rng, sizes = np.random.default_rng(0), 100 * 2.0 ** np.arange(5)
    covered = 0
    for _ in range(60):
        errors = curves(400, sizes, 12, rng)
        found = threshold(sizes, errors, 0.5)
        assert found.low <= found.value <= found.high
        covered += found.low <= 400 * math.exp(0.02) <= found.high
    assert 0.75 <= covered / 60 < 1


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


def test_thresholds_beyond_the_sizes_are_left_out_and_two_make_no_law():
    rng, scales = np.random.default_rng(2), (8, 12, 16, 24)
    sizes = [1500 * 2.0 ** np.arange(6) for _ in scales]
    errors = [curves(2 * d**3, n, 8, rng, 0.01) for d, n in zip(scales, sizes, strict=True)]
    law = power_law(scales, sizes, errors, 0.5)
    assert law.scales == (12, 16, 24)
    few = power_law(scales, [n[:4] for n in sizes], [e[:4] for e in errors], 0.5)
    assert few.scales == (12, 16)
    assert math.isnan(few.exponent)
    assert math.isnan(few.low)
