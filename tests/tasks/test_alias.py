import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from hierjax.tasks import alias


def masses_of(table):
    """Of each column's option and its alias, out of 2^32, summed by option."""
    columns = len(table)
    shift = 32 - (columns.bit_length() - 1)
    masses = [0] * columns
    for column, entry in enumerate(np.asarray(table).tolist()):
        own = entry & (2**shift - 1)
        masses[column] += own
        masses[entry >> shift] += 2**shift - own
    return np.array(masses, object)


def check_row(probabilities, table):
    masses = masses_of(table)
    assert masses.sum() == 2**32
    share = np.asarray(probabilities, np.float64)
    share = np.append(share / share.sum(), np.zeros(len(table) - len(share)))
    errors = np.abs((masses / 2**32).astype(float) - share)
    largest = share.argmax()
    assert errors[largest] <= 2**-20 + len(table) * 2**-29
    bounds = (2**-20 + len(table) * 2**-30) * share + 2**-29
    assert (np.delete(errors, largest) <= np.delete(bounds, largest)).all()
    assert not masses[share == 0].any()


WEIGHTS = hnp.arrays(
    np.float32,
    st.sampled_from([1, 2, 3, 7, 8, 9, 33, 64, 70]),
    elements=st.floats(0, 1, width=32, allow_subnormal=False),
)


@given(WEIGHTS.filter(lambda weights: weights.sum() > 1e-3))
def test_columns_hold_what_the_probabilities_ask_for(weights):
    probabilities = weights / weights.sum()
    check_row(probabilities, alias.alias_tables(jnp.asarray(probabilities)[None])[0])


@pytest.mark.parametrize(
    "weights",
    [
        [1.0],
        [0.0, 1.0],
        [1.0, 0.0, 0.0],
        [0.5, 0.5],
        [1 / 3] * 3,
        [1 / 8] * 8,
        [1 / 11] * 11 + [0.0],
        np.arange(1, 4000) ** -2.0 / np.sum(np.arange(1, 4000) ** -2.0),
        np.full(65_535, 1 / 65_535),
    ],
)
def test_edges(weights):
    weights = np.asarray(weights, np.float32)
    check_row(weights, alias.alias_tables(jnp.asarray(weights)[None])[0])


def test_rows_are_tables_of_their_own():
    rows = jnp.array([[0.1, 0.2, 0.7], [1 / 3, 1 / 3, 1 / 3]])
    both = alias.alias_tables(rows)
    for row, table in zip(rows, both, strict=True):
        np.testing.assert_array_equal(table, alias.alias_tables(row[None])[0])


def test_words_fall_on_options_as_their_columns_say():
    tables = alias.alias_tables(jnp.array([[0.05, 0.15, 0.8], [0.5, 0.25, 0.25]]))
    words = jnp.arange(0, 2**32, 2**20, dtype=jnp.uint32)
    for row, probabilities in enumerate([[0.05, 0.15, 0.8], [0.5, 0.25, 0.25]]):
        chosen = alias.choose(tables, jnp.full(words.shape, row), words)
        shares = np.bincount(chosen, minlength=3) / words.size
        np.testing.assert_allclose(shares, probabilities, atol=4 / words.size)


def test_tables_are_the_same_where_64_bits_are_allowed():
    probabilities = jax.nn.softmax(2 * jax.random.normal(jax.random.key(0), (20, 7)))
    expected = alias.alias_tables(probabilities)
    with jax.enable_x64(True):
        np.testing.assert_array_equal(alias.alias_tables(probabilities), expected)
