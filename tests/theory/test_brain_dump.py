import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hierjax.tasks.circuits import BrainDumpSpec, draw_brain_dump
from hierjax.tasks.label_hierarchy import LabelHierarchy
from hierjax.theory.brain_dump import (
    estimate_vote_coefficients,
    recovery_by_votes,
    recovery_coefficients,
    vote_coefficients,
    vote_weight,
)

NUM_GATES = 6
GATES = np.array(list(itertools.product([-1.0, 1.0], repeat=NUM_GATES)))


def draw_votes(seed, number, votes):
    """Members, signs (K, k) and labels (64, K) on all signs of six gates."""
    rng = np.random.default_rng(seed)
    members = np.array([rng.permutation(NUM_GATES)[:votes] for _ in range(number)])
    signs = rng.choice([-1.0, 1.0], members.shape)
    return members, signs, np.sign((GATES[:, members] * signs).sum(axis=-1))


@pytest.mark.parametrize(("votes", "weight"), [(1, 1), (3, 1 / 2), (5, 3 / 8)])
def test_vote_weights_are_those_of_all_outcomes(votes, weight):
    outcomes = np.array(list(itertools.product([-1, 1], repeat=votes)))
    majority = np.sign(outcomes.sum(axis=1))
    assert vote_weight(votes) == (majority * outcomes[:, 0]).mean() == weight


@pytest.mark.parametrize("votes", [1, 3, 5])
def test_over_all_signs_labels_point_to_every_input(votes):
    """E[w sign(w . x)] = c x for each x, not on average over x alone."""
    signs = np.array(list(itertools.product([-1.0, 1.0], repeat=votes)))
    for gates in signs:
        labels = np.sign(signs @ gates)
        np.testing.assert_allclose(signs.T @ labels / len(signs), vote_weight(votes) * gates)


def test_more_votes_recover_more_of_biased_gates():
    spec = BrainDumpSpec(8, 2, 8, labels_per_level=8)
    found = recovery_by_votes(spec, jax.random.key(3), (2, 30), 400)
    assert set(found) == {"vote_sum", "pinv", "estimated"}
    few, many = np.array(found["vote_sum"])
    assert few.shape == (2,)
    assert few.mean() < 0.97 < many.min()
    assert np.array(found["pinv"])[1].min() > 0.99


@pytest.mark.parametrize("votes", [1, 3, 5])
def test_vote_coefficients_are_the_least_squares_on_independent_gates(votes):
    members, signs, labels = draw_votes(votes, 8, votes)
    coefficients = vote_coefficients(jnp.asarray(members), jnp.asarray(signs), NUM_GATES)
    solution, *_ = np.linalg.lstsq(GATES, labels, rcond=None)
    np.testing.assert_allclose(coefficients, solution.T, atol=1e-12)


@pytest.mark.parametrize("votes", [1, 3, 5])
def test_estimates_on_all_signs_of_gates_are_the_vote_coefficients(votes):
    members, signs, labels = draw_votes(votes, 8, votes)
    estimate = estimate_vote_coefficients(jnp.asarray(GATES), jnp.asarray(labels))
    np.testing.assert_allclose(estimate, vote_coefficients(members, signs, NUM_GATES), atol=1e-12)


def test_estimates_on_examples_approach_the_vote_coefficients():
    members, signs, labels = draw_votes(0, 8, 3)
    rows = np.random.default_rng(1).integers(len(GATES), size=20_000)
    exact = vote_coefficients(members, signs, NUM_GATES)
    few, many = (
        np.abs(estimate_vote_coefficients(GATES[rows[:n]], labels[rows[:n]]) - exact).max()
        for n in (200, 20_000)
    )
    # Residuals have variance 1/4, so a coefficient's standard error is 1 / (2 sqrt(n)).
    assert many < 5 / (2 * np.sqrt(20_000)) < few


@pytest.mark.parametrize("votes", [1, 3, 5])
def test_recovery_turns_the_linear_part_of_labels_into_gates(votes):
    members, signs, _ = draw_votes(votes, 30, votes)
    coefficients = vote_coefficients(members, signs, NUM_GATES)
    recovery = recovery_coefficients(coefficients)
    assert recovery.shape == (30, NUM_GATES)
    np.testing.assert_allclose(recovery.T @ coefficients, np.eye(NUM_GATES), atol=1e-12)


def test_recovery_is_the_least_there_is():
    members, signs, _ = draw_votes(0, 30, 3)
    coefficients = vote_coefficients(members, signs, NUM_GATES)
    # The least solution of A^T R = I is in the span of the columns of A.
    least = coefficients @ np.linalg.inv(coefficients.T @ coefficients)
    np.testing.assert_allclose(recovery_coefficients(coefficients), least, atol=1e-12)


def test_too_few_labels_recover_only_what_they_span():
    members, signs, _ = draw_votes(0, 4, 3)
    coefficients = vote_coefficients(members, signs, NUM_GATES)
    recovered = recovery_coefficients(coefficients).T @ coefficients
    np.testing.assert_allclose(coefficients @ recovered, coefficients, atol=1e-12)
    assert np.isclose(np.trace(recovered), 4)


def test_estimates_on_a_circuit_satisfy_the_normal_equations():
    spec = BrainDumpSpec(NUM_GATES, 2, 5, labels_per_level=7)
    # Compiling takes longer than running.
    quickly = {"xla_backend_optimization_level": 0}
    draw = jax.jit(draw_brain_dump, static_argnums=1, compiler_options=quickly)
    dump = draw(jax.random.key(7), spec)
    inputs = jnp.asarray(GATES[:, None], jnp.float32)
    gates = np.asarray(jax.jit(LabelHierarchy.nodes)(dump.circuit, inputs)[1][:, 0])
    votes = gates[:, np.asarray(dump.members[1])] * np.asarray(dump.signs[1])
    labels = np.sign(votes.sum(axis=-1))
    covariance, means = np.cov(gates.T, bias=True), gates.mean(axis=0)
    assert np.abs(means).max() > 0.1
    assert np.abs(covariance - np.diag(np.diag(covariance))).max() > 0.1
    cross = (labels - labels.mean(axis=0)).T @ (gates - means) / len(gates)
    estimate = estimate_vote_coefficients(jnp.asarray(gates), jnp.asarray(labels))
    np.testing.assert_allclose(estimate @ covariance, cross, atol=1e-6)
