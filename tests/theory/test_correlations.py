"""Exact correlations against enumeration and against sampled strings, laws against grammars."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hierjax.exact import enumerate_language
from hierjax.tasks import GrammarDraw, RandomHierarchySpec, draw_random_hierarchy
from hierjax.theory import (
    class_signal,
    class_tokens,
    predicted_token_steps,
    sampling_noise,
    token_correlation,
    token_pairs,
)

KEY = jax.random.key(0)
SIZES = [
    *[(8, 8, m) for m in (2, 4, 8)],
    *[(2, 8, m) for m in (2, 4, 8)],
    *[(3, 16, m) for m in (2, 4, 8)],
    *[(16, 8, m) for m in (2, 4)],
]


def test_joint_probabilities_are_those_of_the_language():
    spec = RandomHierarchySpec(3, (4, 3, 6), (2, 1, 2), (2, 3, 1), 3)
    draw = GrammarDraw(rule_spread=1.0, class_prior=(0.5, 0.3, 0.2))
    grammar = draw.draw(KEY, spec)
    language = enumerate_language(grammar)
    chances = np.exp(language.log_probabilities)
    labels = language.levels[0][:, 0]
    for level in range(spec.depth + 1):
        found = class_tokens(grammar, level)
        for node, symbols in enumerate(language.levels[level].T):
            want = np.zeros((3, spec.symbols(level)))
            np.add.at(want, (labels, symbols), chances)
            np.testing.assert_allclose(found[node], want, atol=1e-6)
    leaves = language.levels[-1]
    for first, second in ((0, 1), (4, 2), (1, 5)):
        want = np.zeros((6, 6))
        np.add.at(want, (leaves[:, first], leaves[:, second]), chances)
        np.testing.assert_allclose(token_pairs(grammar, first, second), want, atol=1e-6)


@pytest.mark.parametrize("second", [1, 2, 4])
def test_sampled_pairs_differ_from_exact_ones_by_the_noise_of_counting(second):
    """Over cells, whose deviations in units of their own spread have a mean square near one."""
    spec, n = RandomHierarchySpec(8, 8, 4, 2, 3), 200_000
    grammar = draw_random_hierarchy(KEY, spec)
    tokens = np.asarray(grammar.sample(jax.random.key(1), n).inputs, int)
    exact = token_pairs(grammar, 0, second)
    joint = np.asarray(exact, float)
    counts = np.zeros((8, 8))
    np.add.at(counts, (tokens[:, 0], tokens[:, second]), 1)
    assert not counts[joint == 0].any()
    gaps = (counts / n - joint)[joint > 0]
    units = gaps / np.sqrt((joint * (1 - joint))[joint > 0] / n)
    assert 0.6 < np.mean(units**2) < 1.5
    rms = np.sqrt(np.mean((counts / n - joint) ** 2))
    assert 0.75 < rms / float(sampling_noise(exact, n)) < 1.25


@pytest.fixture(scope="module")
def signals():
    """Measured rms of P(class | symbol) - 1/C over 400 grammars, at levels 1 to 3."""

    def of_grammar(key, spec):
        grammar = draw_random_hierarchy(key, spec)
        found = []
        for level in range(1, 4):
            joint = class_tokens(grammar, level)[0]
            totals = joint.sum(axis=0)
            given = joint / jnp.where(totals > 0, totals, 1)[None]
            squares = (given - 1 / spec.num_classes) ** 2 * (totals > 0)[None]
            found.append(jnp.stack([squares.sum(), spec.num_classes * (totals > 0).sum()]))
        return jnp.stack(found)

    measured = {}
    for sizes in SIZES:
        spec = RandomHierarchySpec(*sizes, 2, 3)
        keys = jax.random.split(KEY, 400)
        sums = jax.jit(jax.vmap(lambda key, spec=spec: of_grammar(key, spec)))(keys).sum(axis=0)
        measured[sizes] = np.sqrt(sums[:, 0] / sums[:, 1])
    return measured


@pytest.mark.parametrize("sizes", SIZES)
def test_class_signal_holds_over_random_grammars(signals, sizes):
    """The leading order where C M^l is at least 2V, the next one everywhere."""
    num_classes, vocab_size, num_rules = sizes
    spec = RandomHierarchySpec(*sizes, 2, 3)
    for level in range(1, 4):
        measured = signals[sizes][level - 1]
        if num_classes * num_rules**level >= 2 * vocab_size:
            assert 0.8 < measured / class_signal(spec, level) < 1.25
        lowest = 0.98 if level == 1 else 0.8
        assert lowest < measured / class_signal(spec, level, order=2) < 1.02


@pytest.mark.parametrize("num_rules", [2, 4])
def test_token_correlation_holds_over_random_grammars(num_rules):
    spec = RandomHierarchySpec(8, 8, num_rules, 2, 3)

    def squares(key):
        grammar = draw_random_hierarchy(key, spec)
        joints = [token_pairs(grammar, 0, second) for second in (1, 2, 4)]
        products = [joint.sum(axis=1, keepdims=True) * joint.sum(axis=0) for joint in joints]
        return jnp.stack([((a - b) ** 2).mean() for a, b in zip(joints, products, strict=True)])

    keys = jax.random.split(KEY, 400)
    with jax.numpy_rank_promotion("allow"):
        measured = np.sqrt(np.mean(jax.jit(jax.vmap(squares))(keys), axis=0))
    for distance, each in enumerate(measured, 1):
        assert 0.7 < each / token_correlation(spec, distance) < 1.1
        assert 0.9 < each / token_correlation(spec, distance, order=2) < 1.1


def test_predicted_steps_are_where_correlations_rise_above_noise():
    """Of 1/V^2 a cell, whose noise is 1 / (V sqrt(n))."""
    spec = RandomHierarchySpec(16, 16, 4, 2, 3)
    cells = jnp.full((16, 16), 1 / 256)
    for distance, steps in enumerate(predicted_token_steps(spec), 1):
        assert float(sampling_noise(cells, steps)) == pytest.approx(
            token_correlation(spec, distance), rel=5e-3
        )


def test_what_is_not_there_is_refused():
    spec = RandomHierarchySpec(3, 3, 2, 2, 2)
    grammar = draw_random_hierarchy(KEY, spec)
    with pytest.raises(ValueError, match="level=3 must be from 0 to 2"):
        class_tokens(grammar, 3)
    with pytest.raises(ValueError, match="two positions from 0 to 3"):
        token_pairs(grammar, 1, 1)
    with pytest.raises(ValueError, match="distance=0 must be from 1 to 2"):
        token_correlation(spec, 0)
    with pytest.raises(ValueError, match="order=3 must be 1 or 2"):
        class_signal(spec, 1, order=3)
    assert token_correlation(dataclasses.replace(spec, vocab_size=(3, 4)), 1) is None
