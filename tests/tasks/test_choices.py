import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from hierjax.tasks import choices


@given(st.lists(st.integers(1, choices.MAX_OPTIONS), min_size=1, max_size=40))
def test_words_keep_order_and_bias_bound(num_options):
    layout = choices.word_layout(tuple(num_options))
    assert [m for group in layout for m in group] == num_options
    for group in layout:
        product = math.prod(group)
        exact = product & (product - 1) == 0 and product <= 2**32
        assert exact or product <= 2**16 or len(group) == 1


def test_powers_of_two_fill_words():
    assert len(choices.word_layout((16,) + (8,) * 31)) == 4


def test_choices_are_the_mixed_radix_digits_of_their_word():
    num_options = (16,) + (6,) * 9
    key = jax.random.key(0)
    drawn = np.asarray(choices.draw_choices(key, 200, num_options))
    layout = choices.word_layout(num_options)
    words = np.asarray(jax.random.bits(key, (200, len(layout)), jnp.uint32)).astype(object)
    column = 0
    for word, group in enumerate(layout):
        product = math.prod(group)
        code = words[:, word] * product >> 32
        for options in group:
            product //= options
            np.testing.assert_array_equal(drawn[:, column], code // product % options)
            column += 1


@pytest.mark.parametrize("num_options", [(8, 3, 16, 5), (7,) * 12, (2,) * 40, (65535, 65535)])
def test_choices_are_uniform_and_independent(num_options):
    drawn = np.asarray(choices.draw_choices(jax.random.key(5), 40_000, num_options)).astype(int)
    for options, column in zip(num_options, drawn.T, strict=True):
        bins = min(options, 50)
        edges = np.histogram(column * bins // options, bins, (0, bins))[0]
        expected = np.bincount(np.arange(options) * bins // options) / options * len(column)
        assert stats.chisquare(edges, expected).pvalue > 1e-5
    first, second = drawn[:, 0] * 2 // num_options[0], drawn[:, 1] * 2 // num_options[1]
    table = np.histogram2d(first, second, 2)[0]
    assert stats.chi2_contingency(table).pvalue > 1e-5


def test_cdf_is_inverted():
    probabilities = jnp.array([[0.0, 0.25, 0.0, 0.5, 0.25, 0.0]])
    uniforms = jnp.array([0.0, 0.2499, 0.25, 0.7499, 0.75, 1 - 2.0**-24])
    picked = choices.invert_cdf(uniforms, choices.thresholds(probabilities))
    assert picked.tolist() == [1, 1, 3, 3, 4, 4]


def test_options_of_probability_zero_never_come_up():
    # Sums that round: the cumulative sum of these does not reach one exactly.
    probabilities = jnp.array([[0.1] * 10 + [0.0]], jnp.float32)
    last = jnp.array([1 - 2.0**-24])
    assert int(choices.invert_cdf(last, choices.thresholds(probabilities))[0]) == 9
