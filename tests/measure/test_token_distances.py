import numpy as np

from hierjax.measure import over_distances, told_at_distances
from hierjax.tasks import RandomHierarchySpec

SPEC = RandomHierarchySpec(4, 4, 2, 2, 3)


def test_the_first_token_of_a_pair_of_pairs_is_met_two_levels_up():
    """Tokens 1, 3, 5, 7 meet the one before one level up, 2 and 6 two, and 4 three."""
    values = np.array([100, 1, 20, 3, 7, 5, 40, 7.0])
    np.testing.assert_allclose(over_distances(SPEC, values), [4, 30, 7])


def test_what_tokens_tell_is_the_gain_over_the_subtree_one_level_lower():
    """Which at that distance holds no token before."""
    alone, pair, quarter, whole = 2.0, 1.5, 1.2, 1.1
    floors = np.full((1, 4, 8), alone)
    floors[0, 2, [1, 3, 5, 7]] = floors[0, 1, [1, 3, 5, 7]] = floors[0, 0, [1, 3, 5, 7]] = pair
    floors[0, 1, [2, 6]] = floors[0, 0, [2, 6]] = quarter
    floors[0, 0, 4] = whole
    expected = [alone - pair, alone - quarter, alone - whole]
    np.testing.assert_allclose(told_at_distances(SPEC, floors), [expected])
