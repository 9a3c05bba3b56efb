"""Levels that are skipped, against level by level."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hierjax.tasks.grammars import draw_random_hierarchy
from hierjax.tasks.joint_rules import joint_options, joint_probabilities, joint_steps
from hierjax.tasks.random_hierarchy import RandomHierarchySpec
from tests.tasks.derivations import taken_rules

SPECS = {
    "one level": (RandomHierarchySpec(3, 3, 3, 2, 1), [(0,)]),
    "two levels": (RandomHierarchySpec(8, 8, 4, 2, 2), [(0, 1)]),
    "five levels": (RandomHierarchySpec(16, 16, 6, 2, 5), [(0,), (1, 2), (3, 4)]),
    "tuples that fill no word": (RandomHierarchySpec(8, 8, 8, 3, 2), [(0, 1)]),
    "16 bits a symbol": (RandomHierarchySpec(3, 300, 5, 2, 3), [(0,), (1, 2)]),
    "32 bits a symbol": (RandomHierarchySpec(6, 70_000, 2, 2, 2), [(0, 1)]),
    "sizes that differ": (
        RandomHierarchySpec(2, (5, 300, 40, 130), (3, 2, 4, 3), (2, 3, 2, 1), 4),
        [(0, 1), (2, 3)],
    ),
    "joint choices too many": (RandomHierarchySpec(9, 70, 41, 2, 2), [(0,), (1,)]),
    "a table too large": (RandomHierarchySpec(9, 70, 40, 2, 3), [(0,), (1,), (2,)]),
    "one rule": (RandomHierarchySpec(5, 7, 1, 2, 2), [(0, 1)]),
}


# Chosen among by an alias table of each step, whatever the types of symbols are.
WEIGHTED = ["one level", "five levels", "sizes that differ", "joint choices too many"]


@pytest.mark.parametrize(
    ("name", "weighted"),
    [*((name, False) for name in SPECS), *((name, True) for name in WEIGHTED)],
)
def test_strings_are_those_of_the_same_choices_level_by_level(name, weighted):
    spec, steps = SPECS[name]
    assert joint_steps(spec) == steps
    weights = random_weights(spec) if weighted else None
    grammar, key = draw_random_hierarchy(jax.random.key(0), spec, weights), jax.random.key(1)
    batch = jax.device_get(grammar.sample(key, 100))
    np.testing.assert_array_equal(batch.latents[0][:, 0], batch.labels)
    for rules, parents, children in zip(
        grammar.rules, batch.latents[:-1], batch.latents[1:], strict=True
    ):
        taken_rules(rules, parents, children)  # There is one for each node.
    np.testing.assert_array_equal(batch.inputs, batch.latents[-1])
    alone = jax.jit(lambda key: grammar.sample(key, 100).inputs)(key)
    np.testing.assert_array_equal(alone, batch.inputs)
    assert alone.dtype == batch.inputs.dtype == grammar.rules[-1].dtype


def random_weights(spec):
    rng = np.random.default_rng(0)
    return [
        jnp.float32(rng.dirichlet(np.ones(num_rules), spec.symbols(level)))
        for level, num_rules in enumerate(spec.num_rules)
    ]


def test_joint_probabilities_are_products():
    spec = RandomHierarchySpec(4, (5, 6), (3, 2), (2, 2), 2)
    drawn = random_weights(spec)
    weights = [np.asarray(each) for each in drawn]
    grammar = draw_random_hierarchy(jax.random.key(0), spec)
    joint = np.asarray(joint_probabilities(grammar.rules, drawn))
    options = joint_options(spec, (0, 1))
    for symbol, (own, left, right) in itertools.product(range(4), np.ndindex(options)):
        children = grammar.rules[0][symbol, own]
        product = (
            weights[0][symbol, own] * weights[1][children[0], left] * weights[1][children[1], right]
        )
        column = np.ravel_multi_index((own, left, right), options)
        assert joint[symbol, column] == pytest.approx(product, rel=1e-6)


def test_a_step_chooses_for_a_symbol_and_its_children():
    spec = RandomHierarchySpec(2, (5, 300, 40, 130), (3, 2, 4, 3), (2, 3, 2, 1), 4)
    assert joint_options(spec, (0, 1)) == (3, 2, 2)
    assert joint_options(spec, (2, 3)) == (4, 3, 3)
    assert joint_options(spec, (3,)) == (3,)


def test_grammars_can_be_mapped():
    spec = RandomHierarchySpec(8, 8, 4, 2, 3)
    keys = jax.random.split(jax.random.key(0), 3)
    grammars = jax.vmap(lambda key: draw_random_hierarchy(key, spec))(keys)
    inputs = jax.vmap(lambda grammar, key: grammar.sample(key, 20).inputs)(grammars, keys)
    for row, key in enumerate(keys):
        own = draw_random_hierarchy(key, spec).sample(key, 20)
        np.testing.assert_array_equal(inputs[row], own.inputs)
