"""Strings drawn in a second, tokens only, against a level-by-level sampler in numpy."""

from collections.abc import Callable, Iterator, Sequence

import jax
import numpy as np

from benchmarks.harness import Case, WrongResult, compiled
from hierjax.tasks.grammars import draw_random_hierarchy
from hierjax.tasks.random_hierarchy import RandomHierarchy, RandomHierarchySpec

_GRAMMARS = (
    ("C16 V16 M8 S2 L5", RandomHierarchySpec(16, 16, 8, 2, 5), False),
    ("C16 V16 M6 S2 L5", RandomHierarchySpec(16, 16, 6, 2, 5), False),
    ("C16 V16 M8 S2 L5 Zipf", RandomHierarchySpec(16, 16, 8, 2, 5), True),
    ("C8 V8 M4 S2 L3", RandomHierarchySpec(8, 8, 4, 2, 3), False),
)
_NUM_STRINGS, _NUM_STRINGS_QUICK = 65_536, 2_048
_NUM_CHECKED = 1_024
_STANDARD_ERRORS = 5


def cases(quick: bool) -> Iterator[Case]:
    """One case for each grammar; `quick` draws fewer strings."""
    for name, spec, zipf in _GRAMMARS:
        probabilities = [_zipf(spec, level) for level in range(spec.depth)] if zipf else None
        grammar = draw_random_hierarchy(jax.random.key(0), spec, probabilities)
        yield _case(name, grammar, _NUM_STRINGS_QUICK if quick else _NUM_STRINGS)


def _zipf(spec: RandomHierarchySpec, level: int) -> np.ndarray:
    """(V, M) probabilities p_k ~ 1 / k^2 of the rules of a level, the same for every symbol."""
    weights = np.arange(1, spec.num_rules[level] + 1) ** -2.0
    return np.tile(weights / weights.sum(), (spec.symbols(level), 1)).astype(np.float32)


def _case(name: str, grammar: RandomHierarchy, num_strings: int) -> Case:
    key = jax.random.key(1)

    def draw(grammar, key):
        return grammar.sample(key, num_strings).inputs

    def check(tokens, baseline_tokens):
        first = jax.jit(lambda grammar, key: grammar.sample(key, _NUM_CHECKED))(grammar, key)
        labels = parse(grammar, np.asarray(tokens[:_NUM_CHECKED]))
        if not np.array_equal(labels, first.labels):
            raise WrongResult(f"{name}: strings do not derive from their labels")
        parse(grammar, baseline_tokens[:_NUM_CHECKED])

    return Case(
        suite="sampler",
        name=name,
        items=num_strings,
        unit="strings",
        make_ours=lambda: compiled(draw, grammar, key),
        baseline=numpy_sampler(grammar, num_strings),
        check=check,
    )


def numpy_sampler(grammar: RandomHierarchy, num_strings: int) -> Callable[[], np.ndarray]:
    """What draws (num_strings, d) tokens as a practised user of numpy would.

    Small types, rows of a flat table by `take` (several times faster than indexing with two
    arrays), and one cumulative distribution for all symbols: rules of unequal probability must
    have the same ones for every symbol.
    """
    spec, rng = grammar.spec, np.random.default_rng(0)
    tables = [np.asarray(rules).reshape(-1, rules.shape[-1]) for rules in grammar.rules]
    probabilities = _first_probabilities(grammar)

    def sample():
        level = rng.integers(spec.num_classes, size=(num_strings, 1), dtype=np.uint8)
        for table, num_rules, row in zip(tables, spec.num_rules, probabilities, strict=True):
            if grammar.rule_probabilities is None:
                rule = rng.integers(num_rules, size=level.shape, dtype=np.uint8)
            else:
                rule = _draw_unequal(rng, level.shape, row)
            index_type = np.min_scalar_type(len(table) - 1).type
            level = table.take(level * index_type(num_rules) + rule, axis=0)
            level = level.reshape(num_strings, -1)
        return level

    return sample


def _draw_unequal(rng: np.random.Generator, shape: tuple, probabilities: np.ndarray) -> np.ndarray:
    """Options drawn by comparing uniform numbers with each cumulative probability in turn.

    Faster than `searchsorted` and than one comparison with all of them, as options are few.
    """
    uniforms = rng.random(shape, dtype=np.float32)
    options = np.zeros(shape, np.uint8)
    for bound in probabilities.cumsum()[:-1]:
        options += uniforms >= bound
    return options


def _first_probabilities(grammar: RandomHierarchy) -> Sequence[np.ndarray]:
    """For each level (M,): the probabilities of the rules of its first symbol."""
    if grammar.rule_probabilities is None:
        return [np.full(num_rules, 1 / num_rules) for num_rules in grammar.spec.num_rules]
    return [np.asarray(table[0]) for table in grammar.rule_probabilities]


def parse(grammar: RandomHierarchy, tokens: np.ndarray) -> np.ndarray:
    """Reads strings from the leaves up, and checks how often each rule was taken.

    Args:
      grammar: with the same probabilities of rules for every symbol.
      tokens: (n, d).

    Returns:
      (n,) classes.

    Raises:
      WrongResult: a string has no derivation, or rules of a level were taken at frequencies
        further from their probabilities than chance allows.
    """
    spec, symbols = grammar.spec, tokens
    probabilities = _first_probabilities(grammar)
    for level in reversed(range(spec.depth)):
        parents = _production_table(np.asarray(grammar.rules[level]), spec.symbols(level + 1))
        children = symbols.reshape(len(tokens), -1, spec.branching[level])
        found = parents[tuple(np.moveaxis(children, -1, 0))]
        if (found < 0).any():
            raise WrongResult(f"a tuple of level {level + 1} is made by no rule")
        symbols, rules = np.divmod(found, spec.num_rules[level])
        _require_frequencies(rules, probabilities[level])
    return symbols[:, 0]


def _production_table(rules: np.ndarray, num_symbols: int) -> np.ndarray:
    """Array of shape (V,) * S: for each tuple, parent * M + rule; -1 where no rule makes it."""
    branching = rules.shape[-1]
    table = np.full((num_symbols,) * branching, -1)
    tuples = rules.reshape(-1, branching)
    table[tuple(tuples.T)] = np.arange(len(tuples))
    return table


def _require_frequencies(rules: np.ndarray, probabilities: np.ndarray) -> None:
    counts = np.bincount(rules.ravel(), minlength=len(probabilities))
    allowed = _STANDARD_ERRORS * np.sqrt(probabilities / rules.size)
    if (np.abs(counts / rules.size - probabilities) > allowed).any():
        raise WrongResult(f"rules taken {counts} times do not have probabilities {probabilities}")
