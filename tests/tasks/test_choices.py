import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from hierjax.tasks import choices


@given(
    st.lists(
        st.lists(st.integers(1, choices.MAX_OPTIONS), min_size=1, max_size=5).map(tuple),
        min_size=1,
        max_size=12,
    )
)
def test_words_keep_order_bias_bound_and_groups(groups):
    layout = choices.word_layout(tuple(groups))
    assert [m for word in layout for m in word] == [m for group in groups for m in group]
    for word in layout:
        product = math.prod(word)
        exact = product & (product - 1) == 0 and product <= 2**32
        assert exact or product <= 2**16 or len(word) == 1
    ends = set(itertools.accumulate(len(word) for word in layout))
    position = 0
    for group in groups:
        inside = set(range(position + 1, position + len(group)))
        position += len(group)
        if math.prod(group) <= 2**16:
            assert not ends & inside


def test_powers_of_two_fill_words():
    assert len(choices.word_layout(((16,), (8,), *((8, 8, 8),) * 10))) == 4


def test_choices_are_the_mixed_radix_digits_of_their_word():
    groups = ((16,), (6,), *((6, 6, 6),) * 3)
    key = jax.random.key(0)
    drawn = np.asarray(choices.draw_choices(key, 200, groups))
    layout = choices.word_layout(groups)
    words = np.asarray(jax.random.bits(key, (200, len(layout)), jnp.uint32)).astype(object)
    column = 0
    for word, held in enumerate(layout):
        product = math.prod(held)
        code = words[:, word] * product >> 32
        for options in held:
            product //= options
            np.testing.assert_array_equal(drawn[:, column], code // product % options)
            column += 1


@pytest.mark.parametrize("num_options", [(8, 3, 16, 5), (7,) * 12, (2,) * 40, (65535, 65535)])
def test_choices_are_uniform_and_independent(num_options):
    groups = tuple((options,) for options in num_options)
    drawn = np.asarray(choices.draw_choices(jax.random.key(5), 40_000, groups)).astype(int)
    for options, column in zip(num_options, drawn.T, strict=True):
        bins = min(options, 50)
        edges = np.histogram(column * bins // options, bins, (0, bins))[0]
        expected = np.bincount(np.arange(options) * bins // options) / options * len(column)
        assert stats.chisquare(edges, expected).pvalue > 1e-5
    first, second = drawn[:, 0] * 2 // num_options[0], drawn[:, 1] * 2 // num_options[1]
    table = np.histogram2d(first, second, 2)[0]
    assert stats.chi2_contingency(table).pvalue > 1e-5


def test_cdf_is_inverted():
    thresholds = choices.thresholds(jnp.array([[0.0, 0.25, 0.0, 0.5, 0.25, 0.0]]))
    quarter = 2**22
    uniforms = jnp.array([0, quarter - 1, quarter, 3 * quarter - 1, 3 * quarter, 2**24 - 1])
    picked = choices.invert_cdf(uniforms.astype(jnp.uint32), thresholds)
    assert picked.tolist() == [1, 1, 3, 3, 4, 4]


def test_options_of_probability_zero_never_come_up():
    # Probabilities that round: their sum in units of 2^-24 is not 2^24.
    thresholds = choices.thresholds(jnp.array([[0.0] + [1 / 11] * 11 + [0.0]], jnp.float32))
    extremes = jnp.array([0, 2**24 - 1], jnp.uint32)
    assert choices.invert_cdf(extremes, thresholds).tolist() == [1, 11]
