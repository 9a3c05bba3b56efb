import dataclasses
import itertools

import chex
import jax
import numpy as np
import pytest
from scipy import stats

from hierjax.tasks.label_hierarchy import LabelHierarchy
from hierjax.tasks.ptf_hierarchy import KINDS, PTFSpec, draw_ptf_hierarchy, require_balanced
from tests.tasks.laws import check_task_laws, take

SPECS = {
    "parity": PTFSpec("parity", 6, 2, 3),
    "and": PTFSpec("and", 6, 1, 3, min_share=0.4),
    "majority": PTFSpec("majority", 6, 1, 3),
    "random": PTFSpec("random", 6, 1, 12),
    "torus": PTFSpec("random", 2, 2, 3, 4, degree=3, max_coefficient=1, lattice=(3, 4), radius=1),
}

draw = jax.jit(draw_ptf_hierarchy, static_argnums=1)
all_nodes = jax.jit(LabelHierarchy.nodes)


def inputs_for(spec):
    """(N, G, d): all that there are, or many."""
    if spec.lattice:
        many = np.random.default_rng(0).choice([-1.0, 1.0], (4000, 12, 2))
        return many.astype(np.float32)
    return np.array(list(itertools.product([-1, 1], repeat=spec.num_inputs)), np.float32)[:, None]


@pytest.fixture(scope="module", params=SPECS)
def drawn(request):
    """Spec, hierarchy, shares and (N, G, n) nodes, inputs first."""
    spec = SPECS[request.param]
    hierarchy, shares = jax.device_get(draw(jax.random.key(0), spec))
    inputs = inputs_for(spec)
    return spec, hierarchy, shares, [inputs, *jax.device_get(all_nodes(hierarchy, inputs))]


def values_read(spec, level, below, label):
    """(N, G, f) what a label reads, found location by location."""
    sides = spec.lattice or (1,)
    steps = np.unravel_index(level.offsets[label], [2 * spec.radius + 1] * len(sides))
    columns = []
    for place in np.ndindex(sides):
        shifted = [p + step - spec.radius for p, step in zip(place, steps, strict=True)]
        columns.append(np.ravel_multi_index(shifted, sides, mode="wrap"))
    return below[:, np.array(columns), level.parents[label]]


def direct_label(spec, coefficients, values):
    """(N, G) from the definition of each kind."""
    if spec.kind == "parity":
        return coefficients[0] * values.prod(axis=-1)
    if spec.kind == "and":
        assert np.abs(coefficients[0] + values @ coefficients[1:]).min() >= 1
        return np.where((values == coefficients[1:]).all(axis=-1), 1, -1)
    if spec.kind == "majority":
        agreeing = (values == coefficients).sum(axis=-1)
        return np.where(agreeing > spec.fan_in / 2, 1, -1)
    subsets = [
        subset
        for size in range(spec.degree + 1)
        for subset in itertools.combinations(range(spec.fan_in), size)
    ]
    products = [values[..., subset].prod(axis=-1) for subset in subsets]
    polynomial = np.tensordot(coefficients, products, axes=1)
    assert np.abs(polynomial).min() >= 1
    return np.sign(polynomial)


@pytest.mark.parametrize(
    "spec",
    [
        PTFSpec("parity", 6, 1, 3),
        SPECS["and"],
        SPECS["majority"],
        PTFSpec("random", 1, 1, 1, lattice=(3, 3), radius=1),
    ],
    ids=KINDS,
)
def test_each_kind_obeys_the_laws_of_tasks(spec):
    check_task_laws(lambda key: draw(key, spec)[0])


def test_labels_are_what_their_kind_says(drawn):
    spec, hierarchy, _, nodes = drawn
    for index, level in enumerate(hierarchy.levels):
        below = np.concatenate(nodes[: index + 1], axis=-1)
        for label in range(spec.labels_per_level):
            values = values_read(spec, level, below, label)
            expected = direct_label(spec, level.coefficients[label], values)
            np.testing.assert_array_equal(nodes[index + 1][..., label], expected)


def test_labels_read_different_nodes_and_a_newest_one(drawn):
    spec, hierarchy, _, nodes = drawn
    places = (2 * spec.radius + 1) ** len(spec.lattice)
    num_below = 0
    for level, below in zip(hierarchy.levels, nodes, strict=False):
        oldest_newest, num_below = num_below, num_below + below.shape[-1]
        assert level.parents.shape == (spec.labels_per_level, spec.fan_in)
        assert level.parents.min() >= 0
        assert level.parents.max() < num_below
        assert level.offsets.min() >= 0
        assert level.offsets.max() < places
        assert (level.parents >= oldest_newest).any(axis=1).all()
        read = np.sort(level.offsets * num_below + level.parents, axis=1)
        assert (np.diff(read, axis=1) > 0).all()


@pytest.mark.parametrize("name", ["random", "torus"])
def test_random_coefficients_are_whole_bounded_and_of_odd_sum(name):
    bound = SPECS[name].max_coefficient
    for seed in range(3):
        hierarchy, _ = draw(jax.random.key(seed), SPECS[name])
        rows = np.concatenate([level.coefficients for level in hierarchy.levels])
        assert set(np.unique(rows)) == set(range(-bound, bound + 1))
        assert (rows.sum(axis=1) % 2 == 1).all()


def test_windows_are_read_at_all_their_locations():
    drawn = [draw(jax.random.key(seed), SPECS["torus"])[0] for seed in range(20)]
    for level in range(2):
        offsets = np.concatenate([hierarchy.levels[level].offsets for hierarchy in drawn])
        for position in range(4):
            assert set(offsets[:, position]) == set(range(9))


def test_shares_are_those_of_fresh_inputs(drawn):
    spec, _, shares, nodes = drawn
    assert shares.shape == (spec.depth, spec.labels_per_level)
    for share, labels in zip(shares, nodes[1:], strict=True):
        plus = (labels > 0).mean(axis=1)
        probes = -(-1024 // labels.shape[1])
        # Without a lattice these are all inputs there are.
        fresh = 1 / len(plus) if spec.lattice else 0
        error = np.sqrt(plus.var(axis=0) * (1 / probes + fresh))
        rarer = np.minimum(plus.mean(axis=0), 1 - plus.mean(axis=0))
        assert (np.abs(share - rarer) <= 4 * error).all()


def test_parities_of_three_nodes_are_exactly_balanced():
    # Odd products of odd products are odd, so inputs never cancel altogether.
    spec = SPECS["parity"]
    hierarchy, shares = draw(jax.random.key(1), spec)
    for labels in all_nodes(hierarchy, inputs_for(spec)):
        np.testing.assert_array_equal(labels.sum(axis=(0, 1)), 0)
    require_balanced(shares, 0.4)


def test_labels_are_drawn_again_only_if_they_are_not_balanced():
    spec = SPECS["random"]
    first, first_shares = draw(jax.random.key(0), spec)
    chosen, shares = draw(jax.random.key(0), dataclasses.replace(spec, min_share=0.45))
    kept = first_shares[0] >= 0.45
    assert 0 < kept.sum() < spec.labels_per_level
    chex.assert_trees_all_equal(take(chosen.levels[0], kept), take(first.levels[0], kept))
    assert (shares[0, ~kept] > first_shares[0, ~kept]).all()


def test_conjunctions_of_three_are_too_rare_for_a_share_of_four_tenths():
    _, shares = draw(jax.random.key(0), SPECS["and"])
    with pytest.raises(ValueError, match=r"level 1 .*min_share=0\.4 .*only on 0\.1"):
        require_balanced(shares, SPECS["and"].min_share)


def test_the_lowest_unbalanced_level_of_many_hierarchies_is_named():
    shares = np.full((5, 3, 4), 0.5)
    require_balanced(shares, 0.5)
    shares[3, 2, 1] = 0.1
    shares[1, 1, 0] = 0.25
    require_balanced(shares, 0.1)
    with pytest.raises(ValueError, match=r"level 2 .*only on 0\.250"):
        require_balanced(shares, 0.3)
    with pytest.raises(ValueError, match=r"level 3 .*only on 0\.100"):
        require_balanced(shares, 0.2)


@pytest.fixture(scope="module")
def many_parities():
    """Keys, and what is drawn from them at once."""
    keys = jax.random.split(jax.random.key(0), 250)
    return keys, jax.vmap(lambda key: draw(key, SPECS["parity"]))(keys)


def test_drawing_maps_over_keys(many_parities):
    keys, many = many_parities
    for lane in (0, 1, 249):
        chex.assert_trees_all_equal(take(many, lane), draw(keys[lane], SPECS["parity"]))


def test_wiring_and_signs_are_uniform_among_what_they_may_be(many_parities):
    # Parities of three are balanced, so the first draws are taken as they are.
    level = many_parities[1][0].levels[1]
    triples, counts = np.unique(level.parents.reshape(-1, 3), axis=0, return_counts=True)
    assert len(triples) == 3 * 8 * 7
    assert stats.chisquare(counts).pvalue > 1e-4
    plus = int((level.coefficients > 0).sum())
    assert stats.binomtest(plus, level.coefficients.size).pvalue > 1e-4


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"kind": "or"}, "kind='or' is unknown: choose one of parity, and, majority, random"),
        ({"kind": "majority", "fan_in": 4}, "fan_in=4 must be odd"),
        ({"fan_in": 7}, "fan_in=7 is more than the 6 nodes"),
        ({"fan_in": 19, "lattice": (5,), "radius": 1}, "more than the 18 nodes"),
        ({"degree": 4}, "degree=4 must be at most fan_in=3"),
        ({"min_share": 0.5}, "min_share=0.5 must be"),
        ({"min_share": -0.1}, "min_share=-0.1 must be"),
        ({"num_inputs": 0}, "num_inputs=0 must be from 1 to"),
        ({"depth": 0}, "depth=0 must be from 1 to"),
        ({"labels_per_level": 0}, "labels_per_level=0 must be from 1 to"),
        ({"fan_in": 0}, "fan_in=0 must be from 1 to"),
        ({"degree": 0}, "degree=0 must be from 1 to"),
        ({"max_coefficient": 0}, "max_coefficient=0 must be from 1 to"),
        ({"radius": 1}, "radius=1 needs a lattice"),
        ({"lattice": (4,), "radius": 2}, "wider than the side 4"),
        ({"num_inputs": 14, "fan_in": 14, "degree": 7}, "make 9908 monomials"),
    ],
)
def test_impossible_sizes_are_refused(arguments, words):
    sizes = {"kind": "random", "num_inputs": 6, "depth": 2, "labels_per_level": 4}
    with pytest.raises(ValueError, match=words):
        PTFSpec(**(sizes | arguments))
