import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hierjax.runs import activation_arrays
from hierjax.tasks import RandomHierarchySpec, draw_random_hierarchy


def test_files_hold_activations_and_trees(tmp_path):
    spec = RandomHierarchySpec(2, 3, 2, 2, 2)
    batch = draw_random_hierarchy(jax.random.key(0), spec).sample(jax.random.key(1), 5)
    features = {"layer_1": jnp.arange(20.0).reshape(5, 2, 2), "layer_2": jnp.ones((5, 3))}
    np.savez(tmp_path / "activations.npz", **activation_arrays(features, batch))
    with np.load(tmp_path / "activations.npz") as found:
        assert set(found) == {
            "inputs",
            "labels",
            *(f"level_{i}" for i in range(3)),
            "layer_1",
            "layer_2",
        }
        np.testing.assert_array_equal(found["level_1"], batch.latents[1])
        np.testing.assert_array_equal(found["layer_1"], features["layer_1"])
        np.testing.assert_array_equal(found["labels"], found["level_0"][:, 0])
    with pytest.raises(ValueError, match="layer_2 has features of 4 strings, but there are 5"):
        activation_arrays(features | {"layer_2": jnp.ones((4, 3))}, batch)
