import numpy as np

from hierjax.measure import over_distances, short_of_half, told_at_distances
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


def test_half_of_what_is_told_is_where_nothing_is_short():
    rng = np.random.default_rng(0)
    floors = np.sort(rng.random((2, 4, 8)), axis=1)
    told = np.pad(told_at_distances(SPEC, floors), [(0, 0), (0, 1)])  # Nothing of the first.
    shares = 1 - np.arange(8) / 20
    excess = shares * told[:, np.array(SPEC.distances_before) - 1]
    np.testing.assert_allclose(
        short_of_half(SPEC, excess, floors, last=False),
        np.broadcast_to(over_distances(SPEC, shares) - 0.5, (2, 3)),
    )


def test_the_last_token_is_half_way_between_two_plateaus():
    floors = np.zeros((1, 4, 8))
    floors[0, :, -1] = whole, quarter, pair, alone = 0.2, 0.5, 1.0, 2.0
    middles = [(alone + pair) / 2, (pair + quarter) / 2, (quarter + whole) / 2]
    excess = np.zeros((3, 1, 8))
    excess[:, 0, -1] = np.array(middles) - whole
    np.testing.assert_allclose(
        np.diagonal(short_of_half(SPEC, excess, floors, last=True)[:, 0]), 0, atol=1e-12
    )
