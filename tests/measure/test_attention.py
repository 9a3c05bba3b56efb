import numpy as np
import pytest

from hierjax.measure import attention_by_distance
from hierjax.tasks import RandomHierarchySpec

SPEC = RandomHierarchySpec(2, 4, 2, (2, 3), 2)
LEAVES = np.arange(6)
DISTANCES = SPEC.distances(LEAVES[:, None], LEAVES[None])


def test_attention_goes_where_it_is_put():
    """One head looks at itself, one at the next leaf of the other subtree, in every string."""
    own, far = np.eye(6), np.roll(np.eye(6), 3, axis=1)
    weights = np.broadcast_to(np.stack([own, far, (own + far) / 2]), (5, 3, 6, 6))
    found = attention_by_distance(weights.astype(np.float32), DISTANCES, 4)
    np.testing.assert_allclose(found, [[1, 0, 0, 0], [0, 0, 1, 0], [0.5, 0, 0.5, 0]])


def test_uniform_attention_counts_leaves():
    found = attention_by_distance(np.full((1, 1, 6, 6), 1 / 6, np.float32), DISTANCES, 3)
    np.testing.assert_allclose(found, [[1 / 6, 2 / 6, 3 / 6]], rtol=1e-6)


def test_a_distance_for_each_two_positions_is_wanted(untyped):
    with pytest.raises(ValueError, match=r"distances have shape \(6, 6\), but must have \(5, 5\)"):
        attention_by_distance(np.ones((1, 1, 5, 5), np.float32), DISTANCES, 3)
    with pytest.raises(ValueError, match="distances are from 0 to 2, but must be from 0 to 1"):
        attention_by_distance(np.ones((1, 1, 6, 6), np.float32), DISTANCES, 2)
