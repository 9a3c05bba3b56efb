"""Strings drawn in a second, tokens only, against level-by-level samplers in PyTorch and numpy.

One PyTorch sampler is written as published ones are, another as fast as an afternoon made it.
"""

import math
from collections.abc import Callable, Iterator, Sequence

import jax
import numpy as np

from benchmarks import torch_baselines
from benchmarks.harness import Case, Growth, WrongResult, compiled
from hierjax.tasks import choices
from hierjax.tasks.grammars import draw_random_hierarchy
from hierjax.tasks.random_hierarchy import RandomHierarchy, RandomHierarchySpec

GRAMMARS = (
    ("C16 V16 M8 S2 L5", RandomHierarchySpec(16, 16, 8, 2, 5), False),
    ("C16 V16 M6 S2 L5", RandomHierarchySpec(16, 16, 6, 2, 5), False),
    ("C16 V16 M8 S2 L5 Zipf", RandomHierarchySpec(16, 16, 8, 2, 5), True),
    ("C8 V8 M4 S2 L3", RandomHierarchySpec(8, 8, 4, 2, 3), False),
)
_NUM_STRINGS, _NUM_STRINGS_QUICK, _NUM_STRINGS_ON_ACCELERATOR = 65_536, 2_048, 2**24
_NUM_WORDS = 4  # For a string of the first grammar.
_WORDS_AT_ONCE = {"cpu": 4_096}  # Strings whose words fit into a cache.
_NUM_CHECKED = 1_024
_STANDARD_ERRORS = 5


def cases(quick: bool) -> Iterator[Case]:
    """Every grammar against every baseline, and what its random words cost; `quick` draws fewer."""
    for name, spec, zipf in GRAMMARS:
        for against in _baselines() or [""]:
            yield _case(name, spec, zipf, _num_strings(quick), against)
    yield _words_case(_NUM_WORDS, _num_strings(quick))


def growths(quick: bool) -> list[Growth]:
    """Of a call with the number of strings, their length, the rules and the symbols."""

    def case(vocab_size=16, num_rules=8, depth=5, num_strings=None):
        num_strings = num_strings or _num_strings(quick)
        spec = RandomHierarchySpec(vocab_size, vocab_size, num_rules, 2, depth)
        return _case(f"V{vocab_size} M{num_rules} L{depth}", spec, False, num_strings, "")

    leaves = (4, 8) if quick else (4, 8, 16, 32, 64, 128)
    return [
        Growth(
            "strings, n",
            (512, 1024) if quick else (2**12, 2**14, 2**16, 2**18, 2**20),
            1.0,
            lambda num_strings: case(num_strings=num_strings),
        ),
        Growth("leaves, 2^L", leaves, 1.0, lambda leaves: case(depth=leaves.bit_length() - 1)),
        Growth("rules, M", (2, 4) if quick else (2, 4, 8, 16), 0.0, lambda m: case(num_rules=m)),
        Growth(
            "symbols, V",
            (8, 16) if quick else (8, 16, 32, 64, 128, 256),
            0.0,
            lambda vocab_size: case(vocab_size=vocab_size),
        ),
    ]


def _num_strings(quick: bool) -> int:
    if quick:
        return _NUM_STRINGS_QUICK
    on_cpu = jax.default_backend() == "cpu"
    return _NUM_STRINGS if on_cpu else _NUM_STRINGS_ON_ACCELERATOR


def _zipf(num_rules: int) -> np.ndarray:
    """(M,) probabilities p_k ~ 1 / k^2 of the kth rule."""
    weights = np.arange(1, num_rules + 1) ** -2.0
    return (weights / weights.sum()).astype(np.float32)


def _zipf_rows(spec: RandomHierarchySpec, zipf: bool) -> list[np.ndarray] | None:
    """Those of the rules of each level, of every symbol alike; None for uniform rules."""
    return [_zipf(num_rules) for num_rules in spec.num_rules] if zipf else None


def grammar_of(spec: RandomHierarchySpec, zipf: bool) -> RandomHierarchy:
    """The grammar that is sampled, its rules uniform or with probabilities of Zipf's law."""
    rows = _zipf_rows(spec, zipf)
    tables = rows and [np.tile(row, (spec.symbols(level), 1)) for level, row in enumerate(rows)]
    return draw_random_hierarchy(jax.random.key(0), spec, tables)


def _case(name: str, spec: RandomHierarchySpec, zipf: bool, num_strings: int, against: str) -> Case:
    grammar, rows = grammar_of(spec, zipf), _zipf_rows(spec, zipf)
    key = jax.random.key(1)

    def draw(grammar, key):
        return grammar.sample(key, num_strings).inputs

    def check(tokens, baseline_tokens):
        # Of all parts of the call.
        some = slice(None, None, max(num_strings // _NUM_CHECKED, 1))
        tokens = np.asarray(tokens)[some]
        whole = jax.jit(lambda grammar, key: grammar.sample(key, num_strings))(grammar, key)
        if not np.array_equal(parse(grammar, tokens), whole.labels[some]):
            raise WrongResult(f"{name}: strings do not derive from their labels")
        if baseline_tokens is not None:
            parse(grammar, baseline_tokens[some])

    return Case(
        suite="sampler",
        name=f"{name}, {against}" if against else name,
        items=num_strings,
        unit="strings",
        make_ours=lambda: compiled(draw, grammar, key),
        check=check,
        baseline=_baselines()[against](grammar, num_strings, rows) if against else None,
        against=against,
        num_bytes=num_strings * spec.num_leaves * grammar.rules[-1].dtype.itemsize,
    )


def _words_case(num_words: int, num_strings: int) -> Case:
    """The random words of strings, on a CPU in blocks, as the sampler draws them there."""
    size = min(num_strings, _WORDS_AT_ONCE.get(jax.default_backend(), num_strings))

    def draw(key):
        return jax.lax.map(
            lambda first: choices.random_words(key, size, num_words, first),
            np.arange(0, num_strings, size),
        )

    def check(words, _):
        expected = jax.random.bits(jax.random.key(1), (num_strings, num_words), np.uint32)
        if not np.array_equal(np.moveaxis(words, 1, 2).reshape(expected.shape), expected):
            raise WrongResult("random words are not those of jax.random.bits")

    return Case(
        suite="sampler",
        name=f"random words alone, {num_words} a string",
        items=num_strings,
        unit="strings",
        make_ours=lambda: compiled(draw, jax.random.key(1)),
        check=check,
        num_bytes=4 * num_strings * num_words,
    )


def _baselines() -> dict[str, Callable]:
    """Those that run here; none beside an accelerator, as all are of the host."""
    if jax.default_backend() != "cpu":
        return {}
    pytorch = {
        "PyTorch, plain": torch_baselines.plain_sampler,
        "PyTorch, tuned": torch_baselines.sampler,
    }
    return (pytorch if torch_baselines.here() else {}) | {"numpy": numpy_sampler}


def numpy_sampler(
    grammar: RandomHierarchy, num_strings: int, probabilities: Sequence[np.ndarray] | None
) -> Callable[[], np.ndarray]:
    """What draws (num_strings, d) tokens as a practised user of numpy would.

    Small types, pairs of children looked up as one number by `take` (several times faster than
    indexing with two arrays), bytes for draws of powers of two, and one cumulative distribution
    for all symbols.

    Args:
      grammar: what is drawn from, of branching 2 and at most 256 symbols.
      num_strings: of a call.
      probabilities: for each level (M,), those of every symbol's rules; None for uniform.
    """
    spec, rng = grammar.spec, np.random.default_rng(0)
    tables = [torch_baselines.pairs_of_children(rules) for rules in grammar.rules]

    def sample():
        level = _draw_equal(rng, (num_strings, 1), spec.num_classes)
        for depth, (table, num_rules) in enumerate(zip(tables, spec.num_rules, strict=True)):
            if probabilities is None:
                rule = _draw_equal(rng, level.shape, num_rules)
            else:
                rule = _draw_unequal(rng, level.shape, probabilities[depth])
            index_type = np.min_scalar_type(len(table) - 1).type
            pairs = table.take(level * index_type(num_rules) + rule)
            level = pairs.view(np.uint8).reshape(num_strings, -1)
        return level

    return sample


def _draw_equal(rng: np.random.Generator, shape: tuple, num_options: int) -> np.ndarray:
    if 256 % num_options:
        return rng.integers(num_options, size=shape, dtype=np.uint8)
    drawn = np.frombuffer(rng.bytes(math.prod(shape)), np.uint8)
    return drawn.reshape(shape) & np.uint8(num_options - 1)


def _draw_unequal(rng: np.random.Generator, shape: tuple, probabilities: np.ndarray) -> np.ndarray:
    """Options drawn by comparing uniform numbers with each cumulative probability in turn.

    Faster than `searchsorted` and than one comparison with all of them, as options are few.
    """
    uniforms = rng.random(shape, dtype=np.float32)
    options = np.zeros(shape, np.uint8)
    for bound in probabilities.cumsum()[:-1]:
        options += uniforms >= bound
    return options


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
    for level in reversed(range(spec.depth)):
        parents = _production_table(np.asarray(grammar.rules[level]), spec.symbols(level + 1))
        children = symbols.reshape(len(tokens), -1, spec.branching[level])
        found = parents[tuple(np.moveaxis(children, -1, 0))]
        if (found < 0).any():
            raise WrongResult(f"a tuple of level {level + 1} is made by no rule")
        symbols, rules = np.divmod(found, spec.num_rules[level])
        _require_frequencies(rules, _probabilities(grammar, level))
    return symbols[:, 0]


def _probabilities(grammar: RandomHierarchy, level: int) -> np.ndarray:
    """(M,): of the rules of the first symbol of a level."""
    num_rules = grammar.spec.num_rules[level]
    if grammar.rule_probabilities is None:
        return np.full(num_rules, 1 / num_rules)
    return np.asarray(grammar.rule_probabilities[level][0])


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
