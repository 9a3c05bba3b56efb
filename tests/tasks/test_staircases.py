import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hierjax.tasks.splits import make_split
from hierjax.tasks.staircases import (
    fourier_basis,
    fourier_coefficients,
    leap,
    merged_staircase,
    parity,
    prefix_sets,
    staircase,
)
from tests.tasks.laws import check_task_laws

TARGETS = {
    "staircase": staircase(6, 4),
    "double": staircase(6, 3, 4),
    "parity": parity(6, 3),
    "merged": merged_staircase(5, [[2], [4, 0], (3, 1, 0)]),
}


def cube(num_inputs):
    return np.array(list(itertools.product([-1, 1], repeat=num_inputs)), np.float32)


def all_sets(num_inputs):
    sizes = range(num_inputs + 1)
    return tuple(s for size in sizes for s in itertools.combinations(range(num_inputs), size))


def direct_values(task, inputs):
    products = [np.prod(inputs[:, list(each)], axis=1) for each in task.sets]
    return np.array(products).T @ np.asarray(task.coefficients, np.float64)


def test_a_staircase_is_the_sum_of_its_steps():
    batch = staircase(5, 3).sample(jax.random.key(0), 100)
    x = np.asarray(batch.inputs)
    assert set(np.unique(x)) == {-1, 1}
    steps = [x[:, 0], x[:, 0] * x[:, 1], x[:, 0] * x[:, 1] * x[:, 2]]
    np.testing.assert_array_equal(batch.latents, steps)
    np.testing.assert_allclose(batch.labels, sum(steps) / 3**0.5, rtol=1e-6)


def test_a_double_staircase_shares_its_first_step():
    batch = staircase(5, 3, 3).sample(jax.random.key(0), 100)
    x1, x2, x3, x4, x5 = np.asarray(batch.inputs).T
    steps = [x1, x1 * x2, x1 * x2 * x3, x1 * x4, x1 * x4 * x5]
    np.testing.assert_array_equal(batch.latents, steps)
    np.testing.assert_allclose(batch.labels, sum(steps) / 5**0.5, rtol=1e-6, atol=1e-7)


def test_a_parity_is_the_product_of_its_inputs():
    batch = parity(5, 3).sample(jax.random.key(0), 100)
    x = np.asarray(batch.inputs)
    np.testing.assert_array_equal(batch.labels, x[:, 0] * x[:, 1] * x[:, 2])
    np.testing.assert_array_equal(batch.latents, [batch.labels])


def test_labels_and_latents_of_any_sets_are_the_products():
    task = TARGETS["merged"]
    assert task.sets == ((2,), (0, 4), (0, 1, 3))
    batch = task.sample(jax.random.key(0), 100)
    x = np.asarray(batch.inputs)
    expected = [x[:, 2], x[:, 0] * x[:, 4], x[:, 0] * x[:, 1] * x[:, 3]]
    np.testing.assert_array_equal(batch.latents, expected)
    np.testing.assert_allclose(batch.labels, sum(expected) / 3**0.5, atol=1e-6)


@pytest.mark.parametrize("name", TARGETS)
def test_on_the_whole_cube_coefficients_are_exact_and_zero_off_the_sets(name):
    task = TARGETS[name]
    inputs, sets = cube(task.num_inputs), all_sets(task.num_inputs)
    # As many sets as inputs: the basis is complete.
    found = np.asarray(fourier_coefficients(direct_values(task, inputs), inputs, sets))
    known = dict(zip(task.sets, np.asarray(task.coefficients), strict=True))
    expected = [known.get(each, 0.0) for each in sets]
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("name", TARGETS)
def test_variance_over_the_cube_is_one(name):
    task = TARGETS[name]
    values = direct_values(task, cube(task.num_inputs))
    assert values.mean() == pytest.approx(0, abs=1e-6)
    assert values.var() == pytest.approx(1, abs=1e-6)
    other = task.replace(coefficients=jnp.arange(1.0, 1 + len(task.sets)))
    assert direct_values(other, cube(6)).var() == pytest.approx(float(other.variance))


def test_coefficients_of_the_sets_alone_are_exact_at_samples():
    """Nothing is left over, so least squares finds them even where the products correlate."""
    task = TARGETS["merged"]
    batch = task.sample(jax.random.key(3), 100)
    labels, inputs = batch.labels[:12], batch.inputs[:12]
    found = fourier_coefficients(labels, inputs, task.sets)
    np.testing.assert_allclose(found, task.coefficients, atol=1e-5)


def test_the_basis_is_orthonormal_on_the_cube():
    basis = np.asarray(fourier_basis(cube(4), all_sets(4)[1:]))
    np.testing.assert_array_equal(basis.T @ basis / 16, np.eye(15))


def test_inputs_are_uniform_on_the_cube():
    inputs = np.asarray(parity(4, 1).sample(jax.random.key(0), 16_000).inputs)
    corners = (inputs > 0) @ np.array([1, 2, 4, 8])
    counts = np.bincount(corners, minlength=16)
    assert np.abs(counts - 1000).max() <= 4 * 1000**0.5


def brute_leap(sets):
    """Over all orders, the least of the most new inputs that a set brings."""
    best = []
    for order in itertools.permutations(sets):
        known, steps = set(), []
        for each in order:
            steps.append(len(set(each) - known))
            known |= set(each)
        best.append(max(steps))
    return min(best)


@given(st.sets(st.frozensets(st.integers(0, 7), min_size=1, max_size=5), min_size=1, max_size=5))
def test_leap_is_the_least_over_all_orders(family):
    sets = tuple(tuple(sorted(each)) for each in family)
    assert leap(sets) == brute_leap(sets)


def test_leaps_of_staircases_and_parities():
    for degree in range(1, 7):
        assert leap(staircase(6, degree).sets) == 1
        assert leap(parity(6, degree).sets) == degree
    assert leap(prefix_sets(6, 6)[::-1]) == 1
    assert leap(((0,), (0, 1, 2), (0, 1, 2, 3))) == 2
    assert leap(((0, 1), (2, 3, 4), (0, 2))) == 2


def test_prefix_sets_grow_by_one():
    assert prefix_sets(4, 3) == ((0,), (0, 1), (0, 1, 2))
    assert prefix_sets(4, 2, 3) == ((0,), (0, 1), (0, 2), (0, 2, 3))
    assert leap(prefix_sets(4, 2, 3)) == 1


@pytest.mark.parametrize("second_degree", [0, 3])
def test_a_second_staircase_needs_inputs_of_its_own(second_degree):
    words = f"second_degree={second_degree} must be from 1 to 2, as 4 inputs leave it beside degre"
    with pytest.raises(ValueError, match=words):
        staircase(4, 3, second_degree)


def test_a_split_of_the_cube_holds_no_example_twice():
    split = make_split(parity(7, 2), jax.random.key(0), 64, 40)
    train, test = ({tuple(row) for row in np.asarray(b.inputs)} for b in (split.train, split.test))
    assert split.num_unseen == 40
    assert not train & test


@pytest.mark.parametrize(
    ("sets", "words"),
    [
        ([], "sets is empty"),
        ([[0], []], r"the set \(\) must have different members, at least one, from 0 to 3"),
        ([[0, 4]], r"the set \(0, 4\) must have .* from 0 to 3"),
        ([[-1, 0]], r"the set \(-1, 0\) must have .* from 0 to 3"),
        ([[1, 2, 1]], r"the set \(1, 1, 2\) must have different members"),
        ([[0, 1], [2], [1, 0]], r"\(\(0, 1\), \(2,\), \(0, 1\)\) has a set twice"),
    ],
)
def test_bad_sets_are_refused(sets, words):
    with pytest.raises(ValueError, match=words):
        merged_staircase(4, sets)


@pytest.mark.parametrize("degree", [0, 5, -1])
@pytest.mark.parametrize("make", [staircase, parity, prefix_sets])
def test_degrees_out_of_range_are_refused(make, degree):
    with pytest.raises(ValueError, match=f"degree={degree} must be from 1 to 4"):
        make(4, degree)


def test_targets_on_the_cube_obey_the_laws_of_tasks():
    check_task_laws(lambda key: TARGETS["merged"])
