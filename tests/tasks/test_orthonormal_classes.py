import jax
import numpy as np
import pytest

from hierjax.tasks.orthonormal_classes import OrthonormalClasses
from tests.tasks.laws import check_task_laws

TASK = OrthonormalClasses(num_inputs=60, num_classes=3, noise=0.05)


def test_laws():
    check_task_laws(lambda key: TASK, atol=2e-6)


def test_inputs_are_orthonormal_but_for_the_noise():
    batch = TASK.sample(jax.random.key(0), 45)
    (vectors,) = batch.latents
    np.testing.assert_allclose(vectors @ vectors.T, np.eye(45), atol=1e-5)
    noise = np.asarray(batch.inputs - vectors)
    np.testing.assert_allclose(noise.std(), 0.05, rtol=0.05)
    assert abs(np.corrcoef(noise.ravel(), np.asarray(vectors).ravel())[0, 1]) < 0.06


def test_directions_are_uniform():
    """Had each its sign of the decomposition, the first number of the first would be negative."""
    draw = jax.vmap(lambda key: TASK.sample(key, 2).latents[0])
    vectors = np.asarray(draw(jax.random.split(jax.random.key(1), 2000)))
    # Means of signs, of 2,000 draws.
    assert np.abs(np.sign(vectors).mean(axis=0)).max() < 0.12
    np.testing.assert_allclose(vectors.std(axis=0), 60**-0.5, rtol=0.12)


def test_classes_take_turns():
    assert TASK.sample(jax.random.key(0), 7).labels.tolist() == [0, 1, 2, 0, 1, 2, 0]


def test_there_are_no_more_orthonormal_vectors_than_dimensions():
    with pytest.raises(ValueError, match="61 orthonormal vectors do not fit into 60 dimensions"):
        TASK.sample(jax.random.key(0), 61)
