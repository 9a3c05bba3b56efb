"""Small random grammars of every variation, and evidence of every kind."""

import jax
import numpy as np

from hierjax.exact import enumerate_language, weigh
from hierjax.tasks import RandomHierarchySpec, draw_random_hierarchy

CASES = {
    "uniform": (RandomHierarchySpec(3, 3, 2, 2, 3), False, False),
    "uneven": (RandomHierarchySpec(2, (3, 2, 4), (2, 1, 2), (2, 3, 1), 3), True, True),
    "two levels": (RandomHierarchySpec(4, (2, 5), (1, 3), (3, 2), 2), True, False),
    "one class": (RandomHierarchySpec(1, 2, 2, 2, 2), False, True),
    "one rule": (RandomHierarchySpec(3, 7, 2, 1, 1), True, False),
}
"""Sizes, whether rules and classes have probabilities, whether there is evidence of latents."""


def random_grammar(spec, seed: int, uneven: bool):
    """A grammar of a seed; uneven in rules and classes, of which some have probability zero."""
    rng = np.random.default_rng(seed)

    def shares(*shape):
        weights = rng.exponential(size=shape) ** 2 + 1e-3
        if shape[-1] > 1:
            weights[..., 0] *= rng.random(shape[:-1]) < 0.7
        return weights / weights.sum(axis=-1, keepdims=True)

    rules = [shares(spec.symbols(level), spec.num_rules[level]) for level in range(spec.depth)]
    given = {"rule_probabilities": rules, "class_prior": shares(spec.num_classes)}
    return draw_random_hierarchy(jax.random.key(seed), spec, **(given if uneven else {}))


def random_evidence(grammar, seed: int, n: int, latents: bool):
    """Observed, hidden and soft nodes in each string, possible by the tree that it comes from."""
    spec, rng = grammar.spec, np.random.default_rng(seed)
    language = enumerate_language(grammar)
    shares = np.exp(language.log_probabilities)
    trees = rng.choice(len(shares), n, p=shares / shares.sum())

    def weights(level):
        hot = np.eye(spec.symbols(level))[language.levels[level][trees]]
        soft = np.exp(3 * rng.normal(size=hot.shape)) * (rng.random(hot.shape) < 0.7) + 0.3 * hot
        kind = rng.integers(0, 3, (*hot.shape[:-1], 1))
        return np.select([kind == 0, kind == 1], [hot, np.ones_like(hot)], soft)

    # Of the lowest latents nothing is known.
    known = (*(weights(level) for level in range(spec.depth - 1)), None)
    return weigh(spec, weights(spec.depth), known if latents else ())
