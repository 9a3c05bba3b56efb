"""Small random grammars of every variation, and evidence of every kind."""

import jax
import numpy as np
from hypothesis import strategies as st

from hierjax.exact import weigh
from hierjax.tasks import RandomHierarchySpec, draw_random_hierarchy

SPECS = (
    RandomHierarchySpec(3, 3, 2, 2, 3),
    RandomHierarchySpec(2, (3, 2, 4), (2, 1, 2), (2, 3, 1), 3),
    RandomHierarchySpec(4, (2, 5), (1, 3), (3, 2), 2),
    RandomHierarchySpec(1, 2, 2, 2, 2),
    RandomHierarchySpec(3, 7, 2, 1, 1),
)
"""Of few shapes, each of which is compiled once."""


def draw(spec, seed: int, uneven: bool, zeros: bool = False):
    """A grammar of a seed; uneven in rules and classes, of which some have probability zero."""
    rng = np.random.default_rng(seed)

    def shares(*shape):
        weights = rng.exponential(size=shape) ** 2 + 1e-3
        if zeros and shape[-1] > 1:
            weights[..., 0] *= rng.random(shape[:-1]) < 0.5
        return weights / weights.sum(axis=-1, keepdims=True)

    rules = [shares(spec.symbols(level), spec.num_rules[level]) for level in range(spec.depth)]
    given = {"rule_probabilities": rules, "class_prior": shares(spec.num_classes)}
    return draw_random_hierarchy(jax.random.key(seed), spec, **(given if uneven else {}))


def evidence_at_random(grammar, seed: int, n: int, latents: bool = False):
    """Soft, observed and hidden leaves in one string, in float64; possible by the true tree."""
    spec, rng = grammar.spec, np.random.default_rng(seed)
    batch = grammar.sample(jax.random.key(seed + 1), n)

    def weights(symbols, num_symbols):
        hot = np.eye(num_symbols)[np.asarray(symbols)]
        kind = rng.integers(0, 3, symbols.shape)[..., None]
        soft = np.exp(3 * rng.normal(size=hot.shape)) * (rng.random(hot.shape) < 0.7) + 0.3 * hot
        return np.where(kind == 0, hot, np.where(kind == 1, 1.0, soft))

    known = [
        None if rng.random() < 0.3 else weights(x, spec.symbols(level))
        for level, x in enumerate(batch.latents[:-1])
    ]
    return weigh(
        spec, weights(batch.inputs, spec.symbols(spec.depth)), tuple(known) if latents else ()
    )


grammars = st.builds(
    draw, st.sampled_from(SPECS), st.integers(0, 10**6), st.booleans(), st.booleans()
)
