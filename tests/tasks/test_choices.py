import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jax.extend.random import threefry_2x32
from scipy import stats

from hierjax.tasks import choices


@given(st.lists(st.integers(1, choices.MAX_JOINT), min_size=1, max_size=40).map(tuple))
def test_words_keep_order_and_bias_bound(options):
    layout = choices.word_layout(options)
    assert tuple(m for word in layout for m in word) == options
    for word in layout:
        product = math.prod(word)
        exact = product & (product - 1) == 0 and product <= 2**32
        assert exact or product <= 2**16 or len(word) == 1


def test_powers_of_two_fill_words():
    assert len(choices.word_layout((16, 8, *(512,) * 10))) == 4


@pytest.mark.parametrize("shape", [(1, 1), (5, 3), (200, 12)])
def test_words_are_those_of_jax(shape):
    key = jax.random.key(7)
    words = choices.random_words(key, *shape)
    np.testing.assert_array_equal(words.T, jax.random.bits(key, shape, jnp.uint32))


@pytest.mark.parametrize("num", [5, 70_000])
def test_words_far_off_are_those_of_counters_of_64_bits(num):
    key, first = jax.random.key(7), 2**32 - 3
    words = choices.random_words(key, 2, num, np.uint32(first))
    counters = (first + np.arange(2)[None]) * num + np.arange(num)[:, None]
    halves = np.concatenate([(counters >> 32).ravel(), (counters & (2**32 - 1)).ravel()])
    left, right = np.split(threefry_2x32(jax.random.key_data(key), halves.astype(np.uint32)), 2)
    np.testing.assert_array_equal(words.ravel(), left ^ right)


@pytest.mark.parametrize("impl", ["threefry2x32", "rbg"])
def test_words_of_later_examples_are_others(impl):
    key = jax.random.key(7, impl=impl)
    words = [choices.random_words(key, 40, 3, first) for first in (0, 40)]
    assert len(np.unique(words)) == 240


def test_words_of_examples_do_not_depend_on_where_they_begin():
    key = jax.random.key(7)
    later = choices.random_words(key, 30, 3, jnp.int32(10))
    np.testing.assert_array_equal(choices.random_words(key, 40, 3)[:, 10:], later)


def test_words_of_many_keys_are_those_of_each():
    keys = jax.random.split(jax.random.key(0), 3)
    words = jax.vmap(lambda key: choices.random_words(key, 4, 2))(keys)
    for key, own in zip(keys, words, strict=True):
        np.testing.assert_array_equal(own, choices.random_words(key, 4, 2))


def draw_choices(key, n, options):
    words = choices.random_words(key, n, len(choices.word_layout(options)))
    return choices.read_choices(words, options)


def test_choices_are_the_mixed_radix_digits_of_their_word():
    options = (16, 6, *(216,) * 3, 65536)
    key = jax.random.key(0)
    drawn = np.asarray(draw_choices(key, 200, options))
    layout = choices.word_layout(options)
    assert layout == ((16, 6, 216), (216, 216), (65536,))
    words = np.asarray(choices.random_words(key, 200, len(layout))).T.astype(object)
    rows = iter(drawn)
    for word, held in enumerate(layout):
        product = math.prod(held)
        code = words[:, word] * product >> 32
        for each in held:
            product //= each
            np.testing.assert_array_equal(next(rows), code // product % each)


def test_choices_drawn_as_one_are_taken_apart():
    joint = jnp.arange(3 * 4 * 5, dtype=jnp.uint32)
    apart = choices.split_choices(joint, (3, 4, 5))
    np.testing.assert_array_equal(np.stack(apart), np.unravel_index(np.arange(60), (3, 4, 5)))


@pytest.mark.parametrize(
    "options", [(8, 3, 16, 5), (7,) * 12, (2,) * 40, (65535, 65535), (*(2,) * 32, 1, 1, 4)]
)
def test_choices_are_uniform_and_independent(options):
    drawn = np.asarray(draw_choices(jax.random.key(5), 40_000, options)).astype(int)
    for each, row in zip(options, drawn, strict=True):
        if each == 1:
            assert not row.any()
            continue
        bins = min(each, 50)
        edges = np.histogram(row * bins // each, bins, (0, bins))[0]
        expected = np.bincount(np.arange(each) * bins // each) / each * len(row)
        assert stats.chisquare(edges, expected).pvalue > 1e-5
    first, second = drawn[0] * 2 // options[0], drawn[1] * 2 // options[1]
    table = np.histogram2d(first, second, 2)[0]
    assert stats.chi2_contingency(table).pvalue > 1e-5
