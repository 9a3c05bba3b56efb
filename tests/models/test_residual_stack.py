import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hierjax.models.residual_stack import (
    RandomUnits,
    ResidualStack,
    beta_xavier,
    check_stack,
    sparse_rows,
)

KEY = jax.random.key(0)
RING = ResidualStack(2, 2, 12, "erf", None, lattice=(6,), radius=1)


def randomised(variables):
    leaves, tree = jax.tree.flatten(variables)
    keys = jax.random.split(KEY, len(leaves))
    pairs = zip(keys, leaves, strict=True)
    return jax.tree.unflatten(tree, [jax.random.normal(k, x.shape) for k, x in pairs])


def test_beta_xavier_keeps_the_variance_of_sign_inputs():
    kernel = np.asarray(beta_xavier(0.6)(KEY, (11, 20000)))
    np.testing.assert_allclose(kernel[:-1].var(axis=1) * 10, 0.64, rtol=0.06)
    np.testing.assert_allclose(kernel[-1].var(), 0.36, rtol=0.06)
    inputs = np.where(np.arange(10) % 3, 1, -1)
    np.testing.assert_allclose((inputs @ kernel[:-1] + kernel[-1]).var(), 1, rtol=0.06)


def test_sparse_rows_read_all_pairs_once_when_there_is_room():
    kernel = np.asarray(sparse_rows(2)(KEY, (7, 21)))
    read = {tuple(np.flatnonzero(column)) for column in kernel.T}
    assert read == set(itertools.combinations(range(7), 2))
    np.testing.assert_allclose(np.abs(kernel[kernel != 0]), np.sqrt(0.5))


@pytest.mark.parametrize(("fan_in", "size"), [(1, 5), (3, 6), (4, 120)])
def test_sparse_rows_read_as_many_as_asked(fan_in, size):
    """Of 120 there are more than 2^20 sets of four, which are not listed."""
    kernel = np.asarray(sparse_rows(fan_in)(KEY, (size, 40)))
    assert ((kernel != 0).sum(axis=0) == fan_in).all()
    np.testing.assert_allclose((kernel**2).sum(axis=0), 1, rtol=1e-6)
    assert len(np.unique(np.sign(kernel[kernel != 0]))) == 2


def test_quadratic_units_on_pairs_are_the_products_of_signs():
    inputs = jnp.array(list(itertools.product([-1.0, 1.0], repeat=4)))
    units = RandomUnits(10, "quadratic", 2, 0.5)
    values = np.asarray(units.apply(units.init(KEY, inputs), inputs))
    with_one = np.concatenate([inputs, np.ones((16, 1))], axis=1)
    products = {
        tuple(with_one[:, a] * with_one[:, b]) for a, b in itertools.combinations(range(5), 2)
    }
    found = {tuple(np.round(column * sign)) for column in values.T for sign in (-1, 1)}
    assert products <= found
    np.testing.assert_allclose(values.T @ values / 16, np.eye(10), atol=1e-5)


def test_a_new_stack_estimates_nothing():
    inputs = jax.random.normal(KEY, (3, 6, 1))
    scores = RING.apply(RING.init(KEY, inputs), inputs)
    np.testing.assert_array_equal(scores, np.zeros((3, 6, 2)))


def test_locations_share_weights_and_see_their_windows_alone():
    inputs = jax.random.normal(KEY, (3, 6, 1))
    variables = randomised(RING.init(KEY, inputs))
    scores = RING.apply(variables, inputs)
    turned = RING.apply(variables, jnp.roll(inputs, 2, axis=1))
    np.testing.assert_allclose(turned, jnp.roll(scores, 2, axis=1), atol=1e-5)
    # Two blocks of radius 1 carry a change two locations far.
    changed = RING.apply(variables, inputs.at[:, 0].add(1.0))
    assert (changed != scores).any(axis=(0, 2)).tolist() == [True] * 3 + [False] + [True] * 2


def test_without_a_ring_a_stack_is_that_of_one_location():
    inputs = jax.random.normal(KEY, (5, 3))
    dense = ResidualStack(2, 2, 12, "relu", None)
    single = ResidualStack(2, 2, 12, "relu", None, lattice=(1,))
    variables = randomised(dense.init(KEY, inputs))
    scores = single.apply(variables, inputs[:, None])[:, 0]
    np.testing.assert_allclose(scores, dense.apply(variables, inputs), atol=1e-6)


def test_clipping_bounds_the_estimates_alone():
    inputs = 5 * jax.random.normal(KEY, (5, 3))
    for clip in (True, False):
        stack = ResidualStack(2, 1, 12, "relu", None, clip=clip)
        variables = jax.tree.map(lambda x: 9 * x, randomised(stack.init(KEY, inputs)))
        stream = stack.apply(variables, stack.embed(inputs), 0, method=stack.layer)
        np.testing.assert_array_equal(stream[:, :3], inputs)
        assert (jnp.abs(stream[:, 3:]).max() <= 1) == clip


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_blocks": 0}, "num_blocks=0 must be at least 1"),
        ({"width": 0}, "width=0 must be at least 1"),
        ({"fan_in": 7}, "fan_in=7 must be from 1 to 6"),
        ({"beta": 1.0}, "beta=1.0 must be at least 0 and below 1"),
        ({"lattice": (4,), "radius": 2}, r"window of 2 \* 2 \+ 1 locations is wider than the side"),
    ],
)
def test_stacks_that_cannot_be_made_are_refused(changes, message):
    sizes = {"num_labels": 2, "num_blocks": 1, "width": 4} | changes
    with pytest.raises(ValueError, match=message):
        check_stack(3, ResidualStack(**sizes))
