import dataclasses
import functools

import jax
import numpy as np
import pytest
from numpy.polynomial import hermite_e
from scipy.special import eval_jacobi, roots_jacobi

from hierjax.tasks.harmonics import KINDS, num_harmonics, zonal_coefficients
from hierjax.tasks.polynomials import PolynomialSpec, draw_low_rank_polynomial
from tests.tasks.laws import check_task_laws

MONTE_CARLO = PolynomialSpec(input_dim=8, rank=3, degree=4)
SIZES = [(2, 1), (3, 1), (8, 1), (2, 2), (3, 2), (3, 3), (8, 3)]


@functools.cache
def drawn(spec, seed=0):
    return draw_low_rank_polynomial(jax.random.key(seed), spec)


@pytest.fixture(scope="module")
def many():
    """A target of rank 3 and a batch of 200,000, float64."""
    batch = drawn(MONTE_CARLO).sample(jax.random.key(1), 200_000)
    return jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), batch)


def polynomial(kind, degree, points):
    if kind == "monomial":
        return points**degree
    return hermite_e.hermeval(points, np.eye(degree + 1)[degree])


def energies(kind, dim, degree):
    """Of p on the sphere, by degree: harmonics of one direction are Jacobi polynomials."""
    alpha = (dim - 3) / 2
    cosines, weights = roots_jacobi(degree + 1, alpha, alpha)
    weights /= weights.sum()
    harmonics = [eval_jacobi(k, alpha, alpha, cosines) for k in range(degree + 1)]
    values = polynomial(kind, degree, dim**0.5 * cosines)
    return np.array([(weights @ (values * q)) ** 2 / (weights @ q**2) for q in harmonics])


def cubature(dim):
    """Points on the circle or sphere of radius sqrt(dim) and weights, exact to degree 15."""
    angles = np.arange(16) * np.pi / 8
    circle = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    if dim == 2:
        return 2**0.5 * circle, np.full(16, 1 / 16)
    heights, weights = np.polynomial.legendre.leggauss(8)
    rings = np.sqrt(1 - heights**2)[:, None, None] * circle[None]
    tops = np.broadcast_to(heights[:, None, None], (8, 16, 1))
    points = np.concatenate([rings, tops], axis=2).reshape(-1, 3)
    return 3**0.5 * points, np.repeat(weights / 2, 16) / 16


@pytest.mark.parametrize("degree", range(1, 7))
@pytest.mark.parametrize("kind", KINDS)
def test_mean_squares_of_one_direction_are_those_of_quadrature(kind, degree):
    for dim in (2, 3, 8):
        task = drawn(PolynomialSpec(dim, 1, degree, kind))
        expected = energies(kind, dim, degree)
        scale = expected[1:].sum()
        np.testing.assert_allclose(task.weights**2, 1 / scale, rtol=1e-5)
        np.testing.assert_allclose(task.mean_squares, expected / scale, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("dim", "rank", "degree"), [(2, 1, 5), (2, 2, 4), (3, 1, 6), (3, 2, 5), (3, 3, 4)]
)
@pytest.mark.parametrize("kind", KINDS)
def test_components_are_uncorrelated_and_of_their_mean_squares(kind, dim, rank, degree):
    task = drawn(PolynomialSpec(dim, rank, degree, kind))
    inputs, weights = cubature(dim)
    components = np.array(task.components(inputs.astype(np.float32)), np.float64)
    products = (components * weights) @ components.T
    np.testing.assert_allclose(products, np.diag(task.mean_squares), atol=3e-5)
    np.testing.assert_allclose(components[1:] @ weights, 0, atol=1e-5)
    assert task.mean_squares[1:].sum() == pytest.approx(1, abs=1e-5)


def test_samples_have_the_mean_squares_of_the_target(many):
    squares = np.array(many.latents) ** 2
    errors = squares.std(axis=1) / len(many.labels) ** 0.5
    differences = np.abs(squares.mean(axis=1) - drawn(MONTE_CARLO).mean_squares)
    assert (differences <= 4 * errors + 1e-6).all()
    assert many.labels.var() == pytest.approx(1, abs=0.03)


def test_sampled_components_are_mutually_uncorrelated(many):
    np.testing.assert_array_equal([many.latents[1], many.latents[3]], 0)
    assert abs(np.corrcoef(many.latents[2], many.latents[4])[0, 1]) <= 0.03


def test_inputs_are_uniform_on_the_sphere_of_radius_sqrt_d(many):
    """Second and fourth moments are those of the sphere, in no direction more than in others."""
    inputs = many.inputs
    np.testing.assert_allclose((inputs**2).sum(axis=1), 8, rtol=1e-5)
    np.testing.assert_allclose(inputs.mean(axis=0), 0, atol=0.01)
    np.testing.assert_allclose(inputs.T @ inputs / len(inputs), np.eye(8), atol=0.015)
    np.testing.assert_allclose((inputs**4).mean(axis=0), 3 * 8 / 10, rtol=0.03)


@pytest.mark.parametrize(("dim", "rank"), SIZES)
@pytest.mark.parametrize("kind", KINDS)
def test_components_add_up_to_the_polynomials_of_the_projections(kind, dim, rank):
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(200, dim))
    inputs = (inputs * (dim**0.5 / np.linalg.norm(inputs, axis=1, keepdims=True))).astype("f4")
    for degree in (1, 3, 4, 6):
        task = drawn(PolynomialSpec(dim, rank, degree, kind))
        projections = inputs.astype(np.float64) @ np.asarray(task.directions, np.float64).T
        expected = polynomial(kind, degree, projections) @ np.asarray(task.weights, np.float64)
        components = task.components(inputs)
        assert len(components) == degree + 1
        np.testing.assert_allclose(sum(components), expected, rtol=1e-5, atol=3e-5)


def test_labels_without_noise_are_the_polynomial_and_the_sum_of_the_latents(many):
    task = drawn(MONTE_CARLO)
    projections = many.inputs @ np.asarray(task.directions, np.float64).T
    expected = polynomial("hermite", 4, projections) @ np.asarray(task.weights, np.float64)
    np.testing.assert_allclose(many.labels, expected, atol=3e-5)
    np.testing.assert_allclose(many.labels, sum(many.latents), atol=3e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_coefficients_are_right_to_rounding_at_the_largest_sizes(kind):
    """In 16384 dimensions p is almost its own leading harmonic, or cancels down to it."""
    dim, degree = 2**14, 12
    coefficients = zonal_coefficients(kind, dim, degree)
    sizes = np.array([float(num_harmonics(dim, k)) for k in range(degree + 1)])
    computed, expected = coefficients**2 / sizes, energies(kind, dim, degree)
    np.testing.assert_allclose(computed / expected.sum(), expected / expected.sum(), atol=1e-6)


@pytest.mark.parametrize(("dim", "rank"), SIZES)
def test_directions_are_orthonormal(dim, rank):
    task = drawn(PolynomialSpec(dim, rank, 3))
    directions = np.asarray(task.directions, np.float64)
    assert directions.shape == (rank, dim)
    np.testing.assert_allclose(directions @ directions.T, np.eye(rank), atol=3e-6)


def test_weights_are_of_one_size_and_signs_alternate():
    weights = np.asarray(drawn(PolynomialSpec(5, 3, 3), 0).weights)
    np.testing.assert_allclose(weights, weights[0] * np.array([1, -1, 1]), rtol=1e-6)
    assert weights[0] > 0


@pytest.mark.parametrize("kind", ["hermite", "monomial"])
def test_quadratics_of_full_rank_are_not_constant(kind):
    """With signs all equal they were |x|^2, whose variance is rounding."""
    for dim in (2, 3):
        task = drawn(PolynomialSpec(dim, dim, 2, kind), 0)
        labels = task.sample(jax.random.key(1), 20_000).labels
        np.testing.assert_allclose(labels.var(), 1, rtol=0.05)


def test_numbers_of_harmonics_are_the_known_ones():
    for degree in range(13):
        assert num_harmonics(3, degree) == 2 * degree + 1
        assert num_harmonics(4, degree) == (degree + 1) ** 2
        assert num_harmonics(2, degree) == (2 if degree else 1)
    assert num_harmonics(10, 2) == 10 * 11 // 2 - 1


def test_noise_has_its_standard_deviation_and_changes_labels_alone(many):
    task = drawn(dataclasses.replace(MONTE_CARLO, noise=0.5))
    noisy = task.sample(jax.random.key(1), len(many.labels))
    np.testing.assert_array_equal(noisy.inputs, many.inputs)
    np.testing.assert_array_equal(noisy.latents, many.latents)
    noise = noisy.labels - many.labels
    error = 0.5 / len(noise) ** 0.5
    assert noise.std() == pytest.approx(0.5, rel=0.01)
    assert abs(noise.mean()) <= 4 * error
    assert abs(np.mean(noise * many.labels)) <= 4 * error


def test_polynomials_obey_the_laws_of_tasks():
    """To rounding: products of matrices are added up in an order that depends on their sizes."""
    spec = PolynomialSpec(3, 2, 2, noise=0.1)
    check_task_laws(jax.jit(lambda key: draw_low_rank_polynomial(key, spec)), atol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"input_dim": 1}, "input_dim=1 must be from 2 to 16384"),
        ({"input_dim": 16385}, "input_dim=16385 must be from 2 to 16384"),
        ({"rank": 6}, "rank=6 must be from 1 to 5"),
        ({"rank": 0}, "rank=0 must be from 1 to 5"),
        ({"degree": 0}, "degree=0 must be from 1 to 12"),
        ({"degree": 13}, "degree=13 must be from 1 to 12"),
        ({"kind": "legendre"}, "kind='legendre' is unknown: choose one of hermite, monomial"),
        ({"noise": -0.1}, r"noise=-0\.1 must be from 0 to 1000"),
        ({"noise": float("nan")}, "noise=nan must be from 0 to 1000 and finite"),
        ({"noise": float("inf")}, "noise=inf must be from 0 to 1000 and finite"),
    ],
)
def test_impossible_sizes_are_refused(arguments, words):
    with pytest.raises(ValueError, match=words):
        PolynomialSpec(**({"input_dim": 5} | arguments))


@pytest.mark.parametrize("dim", [3, 8])
def test_a_mixed_target_is_a_sum_of_powers_of_unit_norm(dim):
    """Degrees 3, 2, 1 by turns; the norms are those of quadrature."""
    spec = PolynomialSpec(dim, 3, 3, "mixed")
    task = drawn(spec, seed=2)
    assert spec.degrees == (3, 2, 1)
    inputs = np.asarray(task.sample(jax.random.key(1), 200).inputs, np.float64)
    projections = inputs @ np.asarray(task.directions, np.float64).T
    norms = [np.sqrt(energies("monomial", dim, degree).sum()) for degree in spec.degrees]
    expected = projections ** np.array([3, 2, 1]) / norms @ np.asarray(task.weights, np.float64)
    components = task.components(inputs.astype(np.float32))
    np.testing.assert_allclose(sum(components), expected, rtol=1e-4, atol=1e-4)
    assert len(np.unique(np.abs(task.weights))) == 3


def test_components_of_a_mixed_target_have_their_mean_squares():
    task = drawn(PolynomialSpec(3, 3, 4, "mixed"), seed=1)
    assert task.spec.degrees == (4, 3, 2)
    inputs, weights = cubature(3)
    components = np.array(task.components(inputs.astype(np.float32)), np.float64)
    products = (components * weights) @ components.T
    np.testing.assert_allclose(products, np.diag(task.mean_squares), atol=3e-5)
    assert task.mean_squares[1:].sum() == pytest.approx(1, abs=1e-5)


def test_degrees_begin_anew_where_there_are_more_directions():
    assert PolynomialSpec(8, 6, 4, "mixed").degrees == (4, 3, 2, 1, 4, 3)
    assert PolynomialSpec(8, 2, 4).degrees == (4, 4)
