import itertools

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hierjax.tasks.deep_quadratics import (
    DeepQuadraticSpec,
    deep_quadratic,
    draw_deep_quadratic,
)
from tests.tasks.laws import check_task_laws

KEY = jax.random.key(0)
EXAMPLE = [[0, 1], [2, 3], [3, 0, 1, 2], [4, 5]]
"""x1 x2 + x3 x4 + x1 x2 x3 x4 + x5 x6."""


@st.composite
def specs(draw):
    num_inputs = draw(st.integers(2, 40))
    depth = draw(st.integers(1, num_inputs.bit_length() - 1))
    most = DeepQuadraticSpec(num_inputs, None, depth).num_terms
    return DeepQuadraticSpec(num_inputs, draw(st.integers(2**depth - 1, most)), depth)


def term_sets(level):
    return [frozenset(np.flatnonzero(term).tolist()) for term in np.asarray(level)]


def test_labels_are_sums_of_products_of_inputs():
    batch = deep_quadratic(7, EXAMPLE).sample(KEY, 200)
    x = np.asarray(batch.inputs)
    assert x.shape == (200, 7)
    assert set(np.unique(x)) == {-1, 1}
    pairs = [x[:, 0] * x[:, 1], x[:, 2] * x[:, 3], x[:, 4] * x[:, 5]]
    fours = [x[:, :4].prod(axis=1)]
    assert len(batch.latents) == 2
    np.testing.assert_array_equal(batch.latents[0], np.stack(pairs, axis=1))
    np.testing.assert_array_equal(batch.latents[1], np.stack(fours, axis=1))
    np.testing.assert_allclose(batch.labels, sum(pairs + fours) / 2, rtol=1e-6)


draw = jax.jit(draw_deep_quadratic, static_argnums=1)


@settings(max_examples=12)  # Each is another program.
@given(specs())
def test_drawn_terms_are_products_of_two_lower_ones(spec):
    levels = [term_sets(level) for level in draw(KEY, spec).levels]
    assert len(levels) == spec.depth
    lower = [frozenset([index]) for index in range(spec.num_inputs)]
    for number, level in enumerate(levels, 1):
        assert level
        assert all(len(term) == 2**number for term in level)
        assert {*level} <= {a | b for a, b in itertools.combinations(lower, 2)}
        assert sum(map(len, level)) == len(frozenset().union(*level))  # They are disjoint.
        lower = level
    assert len(set().union(*levels)) == sum(map(len, levels)) == spec.num_terms


def test_all_terms_of_32_inputs_and_three_levels_are_28():
    spec = DeepQuadraticSpec(32)
    assert spec.num_terms == 28
    levels = draw_deep_quadratic(KEY, spec).levels
    assert [level.shape for level in levels] == [(16, 32), (8, 32), (4, 32)]


def test_the_example_of_the_paper_is_a_draw_but_for_the_order_of_its_inputs():
    drawn = draw_deep_quadratic(KEY, DeepQuadraticSpec(6, 4, 2))
    sizes = [sorted(map(len, term_sets(level))) for level in drawn.levels]
    assert sizes == [[2, 2, 2], [4]]


def test_other_keys_put_the_inputs_in_another_order():
    spec = DeepQuadraticSpec(16)
    one, other = (draw_deep_quadratic(jax.random.key(seed), spec) for seed in (0, 1))
    assert set(term_sets(one.terms)) != set(term_sets(other.terms))


def test_variance_over_the_cube_is_one():
    """Of the parities of the terms, which are uncorrelated: by all 64 inputs."""
    task = deep_quadratic(6, EXAMPLE)
    cube = np.array(list(itertools.product([-1, 1], repeat=6)))
    values = sum(cube[:, each].prod(axis=1) for each in EXAMPLE) / len(task.terms) ** 0.5
    assert values.mean() == 0
    assert values.var() == pytest.approx(1)
    labels = np.asarray(task.sample(KEY, 20_000).labels)
    assert labels.mean() == pytest.approx(0, abs=0.05)
    assert labels.var() == pytest.approx(1, abs=0.05)


def test_a_given_term_is_of_the_lowest_level_at_which_it_can_be_built():
    """Its factors may share inputs, which cancel, and may be of different levels."""
    task = deep_quadratic(5, [[0, 1, 2, 3], [0, 1, 2], [0, 1], [2, 4], [0, 1, 2, 3, 4]])
    levels = [set(map(tuple, map(sorted, term_sets(level)))) for level in task.levels]
    assert levels == [{(0, 1), (2, 4)}, {(0, 1, 2)}, {(0, 1, 2, 3)}, {(0, 1, 2, 3, 4)}]
    assert deep_quadratic(3, [[0, 1], [0]]).terms.sum() == 3


@pytest.mark.parametrize(
    ("terms", "words"),
    [
        ([], "terms is empty: give at least one list of inputs"),
        ([[0, 1], []], r"the term \(\) must have different inputs, at least one, from 0 to 3"),
        ([[0, 4]], r"the term \(0, 4\) must have different inputs, at least one, from 0 to 3"),
        ([[-1, 0]], r"the term \(-1, 0\) must have .* from 0 to 3"),
        ([[0, 1, 0]], r"the term \(0, 1, 0\) must have different inputs"),
        ([[0, 1], [1, 0]], r"the term \(0, 1\) is given twice: drop it once"),
        ([[0, 1], [1, 2, 3, 0]], r"the term \(0, 1, 2, 3\) is no product of two inputs or lower"),
        ([[2]], r"the term \(2\) is no product of two inputs or lower terms: add terms"),
    ],
)
def test_bad_terms_are_refused(terms, words):
    with pytest.raises(ValueError, match=words):
        deep_quadratic(4, terms)


@pytest.mark.parametrize(
    ("sizes", "words"),
    [
        ((1,), "num_inputs=1 must be from 2 to 1024"),
        ((8, None, 4), "depth=4 must be from 1 to 3: a term of level L is a product of 2"),
        ((8, None, 0), "depth=0 must be at least 1"),
        ((32, 29, 3), "num_terms=29 must be from 7, .* to 28, all of 32 inputs and 3 levels"),
        ((32, 6, 3), "num_terms=6 must be from 7, those that one term of level 3 is built of"),
    ],
)
def test_sizes_that_no_target_has_are_refused(sizes, words):
    with pytest.raises(ValueError, match=words):
        DeepQuadraticSpec(*sizes)


def test_deep_quadratics_obey_the_laws_of_tasks():
    check_task_laws(lambda key: draw(key, DeepQuadraticSpec(9, 5, 2)))
    check_task_laws(lambda key: deep_quadratic(7, EXAMPLE))
