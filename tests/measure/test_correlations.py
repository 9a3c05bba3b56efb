import numpy as np
import pytest
from scipy.stats import spearmanr

from hierjax.measure import rank_correlation


def test_values_are_those_of_spearman_and_do_not_see_the_scale():
    rng = np.random.default_rng(0)
    causes = rng.integers(0, 6, 40).astype(float)
    effects = -causes + 3 * rng.normal(size=40)
    found = rank_correlation(causes, effects)
    assert found.value == pytest.approx(spearmanr(causes, effects).statistic)
    assert found.low < found.value < found.high < 0
    assert rank_correlation(np.exp(causes), effects**3) == found


def test_intervals_hold_the_truth_about_as_often_as_they_say():
    """Of numbers that have nothing to do with each other."""
    rng = np.random.default_rng(1)
    draws = [rank_correlation(*rng.normal(size=(2, 30))) for _ in range(200)]
    share = np.mean([each.low <= 0 <= each.high for each in draws])
    assert 0.88 <= share <= 0.99


def test_what_is_the_same_everywhere_has_no_correlation():
    found = rank_correlation(np.ones(10), np.arange(10.0))
    assert np.isnan([found.value, found.low, found.high]).all()


def test_bad_numbers_are_refused():
    with pytest.raises(ValueError, match=r"effects have shape \(4,\), but must have \(5,\)"):
        rank_correlation(np.zeros(5), np.zeros(4))
    with pytest.raises(ValueError, match="2 seeds have no rank correlation: give at least 3"):
        rank_correlation(np.zeros(2), np.zeros(2))
