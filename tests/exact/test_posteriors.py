"""Everything against adding up all strings, in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hierjax.exact import (
    Evidence,
    best_derivations,
    entropies,
    enumerate_language,
    enumerate_posteriors,
    likelihood,
    next_tokens,
    observe,
    other_tokens,
    posteriors,
    weigh,
)
from hierjax.tasks import RandomHierarchySpec, draw_random_hierarchy, from_rules
from tests.exact.grammars import CASES, random_evidence, random_grammar

TOLERANCE = 1e-10
SEEDS = st.integers(0, 10**6)


@pytest.fixture(autouse=True, scope="module")
def double_precision():
    with jax.enable_x64(True):
        yield


def close(value, expected):
    np.testing.assert_allclose(value, expected, rtol=0, atol=TOLERANCE)


@jax.jit
def everything(grammar, evidence):
    """One program for each case."""
    alone = Evidence(evidence.leaves)
    return {
        "likelihood": likelihood(grammar, evidence),
        "posteriors": posteriors(grammar, evidence),
        "best": best_derivations(grammar, evidence),
        "entropies": entropies(grammar, evidence),
        "others": other_tokens(grammar, evidence),
        "next": next_tokens(grammar, alone),
        "in block": next_tokens(grammar, alone, span=min(1, grammar.spec.depth - 1)),
        "others in block": other_tokens(grammar, alone, span=min(1, grammar.spec.depth - 1)),
    }


def leaf_given(grammar, evidence, leaf, hidden):
    """(N, V) probabilities of a leaf, of which with others nothing is known."""
    leaves = jnp.where(hidden[None, :, None], 0, evidence.leaves)
    return enumerate_posteriors(grammar, evidence.replace(leaves=leaves))[1][-1][:, leaf]


@pytest.mark.parametrize("case", CASES)
@settings(max_examples=10)
@given(seed=SEEDS)
def test_all_of_it_is_what_the_strings_add_up_to(case, seed):
    spec, uneven, latents = CASES[case]
    grammar = random_grammar(spec, seed, uneven)
    evidence = random_evidence(grammar, seed, 4, latents)
    result = everything(grammar, evidence)
    language = enumerate_language(grammar)
    joint = language.log_joint(evidence)
    total, levels = enumerate_posteriors(grammar, evidence)

    close(result["likelihood"].log_likelihood, total)
    close(result["likelihood"].classes, levels[0][:, 0])
    assert result["likelihood"].possible.all()
    close(result["posteriors"].likelihood.log_likelihood, total)
    for value, expected in zip(result["posteriors"].levels, levels, strict=True):
        close(value, expected)

    close(result["best"].log_total, joint.max(axis=1))
    best = joint.argmax(axis=1)
    ties = (joint > joint.max(axis=1, keepdims=True) - TOLERANCE).sum(axis=1) > 1
    for value, symbols in zip(result["best"].levels, language.levels, strict=True):
        np.testing.assert_array_equal(value[~ties], symbols[best][~ties])

    shares = np.exp(joint - total[:, None])
    for level, symbols in enumerate(language.levels):
        _, index = np.unique(symbols, axis=0, return_inverse=True)
        sums = [np.bincount(index.ravel(), weights=row) for row in shares]
        close(result["entropies"].levels[:, level], [_entropy(each) for each in sums])
        nodes = np.apply_along_axis(_entropy, -1, levels[level])
        close(result["entropies"].nodes[level], nodes)

    places, block = (
        np.arange(spec.num_leaves),
        spec.num_leaves // spec.nodes(min(1, spec.depth - 1)),
    )
    alone = Evidence(evidence.leaves)
    for leaf in places:
        others = leaf_given(grammar, evidence, leaf, places == leaf)
        close(result["others"].probabilities[:, leaf], others)
        before = leaf_given(grammar, alone, leaf, places >= leaf)
        close(result["next"].probabilities[:, leaf], before)
        outside = (places >= leaf) | (places < leaf - leaf % block)
        inside = leaf_given(grammar, alone, leaf, outside)
        close(result["in block"].probabilities[:, leaf], inside)
        outside = (places // block != leaf // block) | (places == leaf)
        others = leaf_given(grammar, alone, leaf, outside)
        close(result["others in block"].probabilities[:, leaf], others)


def _entropy(shares):
    positive = shares[shares > 0]
    return -(positive * np.log(positive)).sum()


@pytest.mark.parametrize("case", CASES)
def test_likelihoods_of_all_strings_add_up_to_one(case):
    spec, uneven, _ = CASES[case]
    grammar = random_grammar(spec, 3, uneven)
    strings = enumerate_language(grammar).levels[-1]
    assert len(np.unique(strings, axis=0)) == len(strings) == spec.num_strings
    logs = likelihood(grammar, observe(spec, jnp.asarray(strings))).log_likelihood
    close(np.exp(logs).sum(), 1)


@pytest.mark.parametrize("case", ["uniform", "uneven"])
def test_what_is_hidden_whole_has_the_prior(case):
    spec, uneven, _ = CASES[case]
    grammar = random_grammar(spec, 5, uneven)
    hidden = jnp.ones((1, spec.num_leaves), bool)
    result = posteriors(grammar, observe(spec, jnp.zeros((1, spec.num_leaves), int), hidden))
    close(result.likelihood.log_likelihood, 0)
    prior = np.full(spec.num_classes, 1 / spec.num_classes)
    if uneven:
        prior = np.asarray(grammar.class_prior, np.float64)
        prior /= prior.sum()
    close(result.levels[0][0, 0], prior)
    language = enumerate_language(grammar)
    weights = np.exp(language.log_probabilities)
    for level, symbols in enumerate(language.levels):
        hot = symbols[..., None] == np.arange(spec.symbols(level))
        close(result.levels[level][0], np.einsum("x,xpv->pv", weights, hot))


@pytest.mark.parametrize("filtered", [1, 2, 3])
def test_filtered_nodes_are_independent_given_the_class(filtered):
    spec, uneven, _ = CASES["uneven"]
    grammar = random_grammar(spec, 11, uneven)
    evidence = random_evidence(grammar, 12, 5, latents=False)
    language = enumerate_language(grammar)
    weights = np.exp(language.log_probabilities)
    seen = np.stack([_below(grammar, evidence, filtered, i) for i in range(spec.nodes(filtered))])
    expected = np.zeros((5, spec.num_classes))
    for label in range(spec.num_classes):
        of_class = np.where(language.levels[0][:, 0] == label, weights, 0)
        product = of_class.sum() * np.ones(5)
        for node, symbols in enumerate(language.levels[filtered].T):
            sums = np.bincount(symbols, of_class, minlength=spec.symbols(filtered))
            product *= seen[node] @ (sums / max(of_class.sum(), 1e-300))
        expected[:, label] = product
    result = posteriors(grammar, evidence, filtered=filtered)
    close(result.likelihood.log_likelihood, np.log(expected.sum(axis=1)))
    close(result.levels[0][:, 0], expected / expected.sum(axis=1, keepdims=True))
    assert [each is None for each in result.levels[1:]] == [i < filtered for i in range(1, 4)]
    # Of one string, the next tokens' probabilities multiply to its likelihood.
    strings = jnp.asarray(language.levels[-1][weights > 0][:50])
    whole = likelihood(grammar, observe(spec, strings), filtered)
    ahead = next_tokens(grammar, observe(spec, strings), filtered).probabilities
    taken = jnp.take_along_axis(ahead, strings[..., None], axis=-1)[..., 0]
    close(jnp.log(taken).sum(axis=1), whole.log_likelihood)
    others = other_tokens(grammar, evidence, filtered).probabilities * jnp.exp(evidence.leaves)
    close(others / others.sum(axis=-1, keepdims=True), result.levels[-1])


def _below(grammar, evidence, level, node):
    """(N, V_l) likelihoods of the leaves below a node, given its symbol."""
    leaves = evidence.leaves.shape[1] // grammar.spec.nodes(level)
    own = np.asarray(evidence.leaves)[:, leaves * node : leaves * (node + 1)]
    if level == grammar.spec.depth:
        return np.exp(own[:, 0])
    lower = from_rules(
        grammar.rules[level:],
        grammar.spec.symbols(grammar.spec.depth),
        rule_probabilities=grammar.rule_probabilities[level:],
    )
    total, levels = enumerate_posteriors(lower, Evidence(own))
    return np.exp(total)[:, None] * levels[0][:, 0] * lower.spec.num_classes


def test_grammars_in_lanes_are_those_one_by_one():
    spec = CASES["uniform"][0]
    keys = jax.random.split(jax.random.key(0), 3)
    grammars = jax.vmap(lambda key: draw_random_hierarchy(key, spec))(keys)
    weights = jnp.asarray(np.random.default_rng(0).random((3, 5, spec.num_leaves, 3)))
    lanes = jax.vmap(lambda g, w: everything(g, weigh(spec, w)))(grammars, weights)
    for lane in range(3):
        grammar = draw_random_hierarchy(keys[lane], spec)
        one = everything(grammar, weigh(spec, weights[lane]))
        jax.tree.map(close, jax.tree.map(lambda x: x[lane], lanes), one)  # noqa: B023


def test_tables_of_any_size_and_weights_of_any_size_are_exact():
    """Weights so uneven that their products would be zero in float64."""
    spec = RandomHierarchySpec(2, 3, 2, 4, 2)
    grammar = draw_random_hierarchy(jax.random.key(0), spec)
    leaves = 1000 * np.random.default_rng(0).normal(size=(3, spec.num_leaves, 3))
    evidence = Evidence(jnp.asarray(leaves))
    total, levels = enumerate_posteriors(grammar, evidence)
    result = posteriors(grammar, evidence)
    np.testing.assert_allclose(result.likelihood.log_likelihood, total, rtol=1e-12)
    jax.tree.map(close, list(result.levels), levels)
