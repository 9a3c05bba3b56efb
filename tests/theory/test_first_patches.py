import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import hierjax as hj
from hierjax.tasks import from_rules
from hierjax.theory import first_patches


def draw(seed, *sizes, **options):
    spec = hj.RandomHierarchySpec(*sizes)
    return hj.draw_random_hierarchy(jax.random.key(seed), spec, **options)


def listed(grammar):
    """The conditions by listing all derivations of first patches, in float64."""
    spec, rules = grammar.spec, [np.asarray(table) for table in grammar.rules]
    chances = [np.full(table.shape[:2], 1 / table.shape[1]) for table in rules]
    if grammar.rule_probabilities is not None:
        chances = [np.asarray(table, float) for table in grammar.rule_probabilities]
    prior = np.full(spec.num_classes, 1 / spec.num_classes)
    if grammar.class_prior is not None:
        prior = np.asarray(grammar.class_prior, float)
    coverage, k_rho = [], []
    for depth in range(1, spec.depth + 1):
        patches = {}  # (parent, tuple) -> probability with each class.
        for choice in itertools.product(*(range(m) for m in spec.num_rules[:depth])):
            for label in range(spec.num_classes):
                symbol, chance = label, prior[label]
                for level, rule in enumerate(choice):
                    chance *= chances[level][symbol, rule]
                    parent, made = symbol, tuple(rules[level][symbol, rule])
                    symbol = made[0]
                by_class = patches.setdefault((parent, made), np.zeros(spec.num_classes))
                by_class[label] += chance
        different = spec.symbols(depth - 1) * spec.num_rules[depth - 1]
        least = min(each.sum() for each in patches.values())
        coverage.append(different * least if len(patches) == different else 0)
        occurs = [(parent, q / q.sum()) for (parent, _), q in patches.items() if q.sum() > 0]
        gaps = [
            np.linalg.norm(q - r) for (a, q), (b, r) in itertools.combinations(occurs, 2) if a != b
        ]
        k_rho.append(np.prod(spec.num_rules[:depth]) ** 0.5 * min(gaps, default=np.inf))
    return coverage, k_rho


@pytest.mark.parametrize(
    "sizes",
    [
        (3, 3, 2, 2, 3),
        (2, 3, 2, 2, 3),
        (4, 4, 3, 3, 2),
        (2, (3, 4), (2, 3), (2, 3), 2),
        (1, 2, 2, 2, 2),
    ],
)
@pytest.mark.parametrize("seed", range(3))
def test_conditions_are_those_of_all_derivations(sizes, seed):
    grammar = draw(seed, *sizes)
    found = first_patches(grammar)
    for name, expected in zip(("coverage", "k_rho"), listed(grammar), strict=True):
        np.testing.assert_allclose(getattr(found, name), expected, rtol=1e-5, err_msg=name)


def test_probabilities_of_rules_and_classes_count():
    weights = [jnp.array([[0.7, 0.3], [0.2, 0.8]]), jnp.full((3, 2), 0.5)]
    grammar = draw(0, 2, 3, 2, 2, 2, rule_probabilities=weights, class_prior=[0.9, 0.1])
    found = first_patches(grammar)
    for name, expected in zip(("coverage", "k_rho"), listed(grammar), strict=True):
        np.testing.assert_allclose(getattr(found, name), expected, rtol=1e-5, err_msg=name)


def test_a_symbol_that_is_never_first_is_not_covered_and_tells_nothing_apart():
    grammar = from_rules([[[[0, 1], [1, 0]], [[0, 2], [1, 1]]], [[[0, 0]], [[1, 0]], [[1, 1]]]])
    found = first_patches(grammar)
    np.testing.assert_allclose(found.coverage, [1, 0])
    np.testing.assert_allclose(found.k_rho, [2, 0], atol=1e-7)


def test_a_latin_square_tells_no_patch_apart_below_the_top():
    grammar = hj.tasks.latin_square_top(draw(1, 4, 4, 4, 2, 3))
    found = first_patches(grammar)
    np.testing.assert_allclose(found.k_rho[1:], 0, atol=1e-5)
    np.testing.assert_allclose(found.k_rho[0], 2 * 2**0.5, rtol=1e-6)


def test_a_uniform_first_child_covers_all_patches():
    grammar = draw(2, 4, 4, 3, 2, 4, rule_draw="uniform_first")
    np.testing.assert_allclose(first_patches(grammar).coverage, 1, rtol=1e-5)


def test_it_maps_over_grammars():
    spec = hj.RandomHierarchySpec(3, 3, 2, 2, 3)
    keys = jax.random.split(jax.random.key(0), 4)
    mapped = jax.jit(jax.vmap(lambda key: first_patches(hj.draw_random_hierarchy(key, spec))))(keys)
    for row, key in enumerate(keys):
        alone = first_patches(hj.draw_random_hierarchy(key, spec))
        np.testing.assert_allclose(mapped.k_rho[row], alone.k_rho, rtol=1e-5)
        np.testing.assert_allclose(mapped.coverage[row], alone.coverage, rtol=1e-5)
