"""Ways to come by a grammar: drawn at random, built from tables."""

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Integer, Key
from numpy.typing import ArrayLike

from hierjax.tasks.random_hierarchy import RandomHierarchy, RandomHierarchySpec, symbol_dtype
from hierjax.tasks.rows import first_occurrence

Tables = Sequence[ArrayLike] | ArrayLike
"""A table for each level, root side first: nested lists or arrays of any library."""

RULE_DRAWS = ("uniform", "uniform_first")
"""How rules may be drawn, see `draw_random_hierarchy`."""

_MAX_PERMUTED_CODES = 2**16


def draw_random_hierarchy(
    key: Key[Array, ""],
    spec: RandomHierarchySpec,
    rule_probabilities: Tables | None = None,
    class_prior: ArrayLike | None = None,
    rule_draw: str = "uniform",
    shared_rules: bool = False,
) -> RandomHierarchy:
    """Draws a grammar: the tuples of each level at random without replacement.

    The tuples of an ambiguous grammar are drawn with replacement. The function is jitted, and may
    be mapped over keys by `jax.vmap`. Every level has a random stream of its own, so grammars of
    different depth share their upper levels.

    Args:
      key: typed PRNG key.
      spec: sizes.
      rule_probabilities: for each level l, root side first, a table (V_l, M_l) of the probability
        of each rule of each symbol, whose rows sum to one; None for uniform rules.
      class_prior: (C,) probabilities of the classes, which sum to one; None for uniform classes.
      rule_draw: "uniform" draws among all sets of tuples; "uniform_first" among those in which
        every symbol is the first child of as many rules as the others (arXiv 2601.19756,
        Proposition 19).
      shared_rules: whether levels of the same sizes have the same rules.

    Returns:
      The grammar.

    Raises:
      ValueError: probabilities have the wrong shape, are negative or do not sum to one; or the
        sizes do not allow the draw, see `check_rule_draw`.
    """
    check_rule_draw(spec, rule_draw)
    grammar = RandomHierarchy(spec, _draw_rules(key, spec, rule_draw, shared_rules))
    return _with_probabilities(grammar, rule_probabilities, class_prior)


def check_rule_draw(spec: RandomHierarchySpec, rule_draw: str) -> None:
    """Refuses sizes that do not allow a draw of the rules (see `draw_random_hierarchy`).

    Args:
      spec: sizes of the grammar.
      rule_draw: one of `RULE_DRAWS`.

    Raises:
      ValueError: the name is unknown, the rules of a level cannot be divided evenly between the
        symbols that are their first children, or they may share tuples.
    """
    if rule_draw not in RULE_DRAWS:
        raise ValueError(f"rule_draw={rule_draw!r} is unknown: choose of {', '.join(RULE_DRAWS)}")
    if rule_draw == "uniform_first" and spec.ambiguous:
        raise ValueError(
            "rule_draw=uniform_first needs distinct tuples, not ambiguous ones: take uniform"
        )
    for level in range(spec.depth if rule_draw == "uniform_first" else 0):
        total, symbols = spec.symbols(level) * spec.num_rules[level], spec.symbols(level + 1)
        if total % symbols:
            raise ValueError(
                f"rule_draw=uniform_first needs rules that the {symbols} symbols of level "
                f"{level + 1} can share as first children, but level {level} has {total}: make "
                f"num_rules times its symbols a multiple of {symbols}"
            )


@functools.partial(jax.jit, static_argnames=("spec", "rule_draw", "shared_rules"))
def _draw_rules(
    key: Key[Array, ""], spec: RandomHierarchySpec, rule_draw: str, shared_rules: bool
) -> tuple[Integer[Array, "V M S"], ...]:
    draw_tuples = _distinct_tuples if rule_draw == "uniform" else _tuples_of_uniform_first
    if spec.ambiguous:
        draw_tuples = _any_tuples
    symbols = [spec.symbols(level) for level in range(spec.depth + 1)]
    sizes = list(zip(symbols, spec.num_rules, symbols[1:], spec.branching, strict=False))
    rules = []
    for level, (num_symbols, num_rules, num_below, branching) in enumerate(sizes):
        stream = sizes.index(sizes[level]) if shared_rules else level
        level_key = jax.random.fold_in(key, stream)
        tuples = draw_tuples(level_key, num_symbols * num_rules, num_below, branching)
        rules.append(tuples.reshape(num_symbols, num_rules, branching))
    return tuple(rules)


def _any_tuples(
    key: Key[Array, ""], count: int, vocab_size: int, length: int
) -> Integer[Array, "count length"]:
    """Draws (count, length) independent tuples over range(vocab_size)."""
    tuples = jax.random.randint(key, (count, length), 0, vocab_size, jnp.int32)
    return tuples.astype(symbol_dtype(vocab_size))


def _distinct_tuples(
    key: Key[Array, ""], count: int, vocab_size: int, length: int
) -> Integer[Array, "count length"]:
    """Draws (count, length) distinct tuples over range(vocab_size), without replacement.

    The codes of all tuples are permuted where they are few or mostly in use; elsewhere, and so
    where a code would not fit in an integer, repeats are drawn again.
    """
    num_codes = vocab_size**length
    if num_codes > max(_MAX_PERMUTED_CODES, 4 * count):
        return _redrawn_tuples(key, count, vocab_size, length)
    codes = jax.random.permutation(key, num_codes)[:count]
    tuples = jnp.stack(jnp.unravel_index(codes, (vocab_size,) * length), axis=-1)
    return tuples.astype(symbol_dtype(vocab_size))


def _tuples_of_uniform_first(
    key: Key[Array, ""], count: int, vocab_size: int, length: int
) -> Integer[Array, "count length"]:
    """Draws distinct tuples of which as many begin with each symbol, in random order."""
    each = count // vocab_size
    firsts = jnp.arange(vocab_size, dtype=symbol_dtype(vocab_size))
    tuples = jnp.repeat(firsts, each)[:, None]
    if length > 1:
        keys = jax.vmap(lambda first: jax.random.fold_in(key, first))(firsts)
        rests = jax.vmap(lambda key: _distinct_tuples(key, each, vocab_size, length - 1))(keys)
        tuples = jnp.concatenate([tuples, rests.reshape(count, -1)], axis=1)
    return jax.random.permutation(jax.random.fold_in(key, vocab_size), tuples)


def _redrawn_tuples(
    key: Key[Array, ""], count: int, vocab_size: int, length: int
) -> Integer[Array, "count length"]:
    """Draws independent tuples, and repeats again until there are none.

    No tuple is preferred, since which one is redrawn depends on its place alone.
    """

    def redraw(state):
        attempt, tuples, repeated = state
        fresh = _any_tuples(jax.random.fold_in(key, attempt), count, vocab_size, length)
        tuples = jnp.where(repeated[:, None], fresh, tuples)
        return attempt + 1, tuples, first_occurrence(tuples) < jnp.arange(count)

    start = (0, jnp.zeros((count, length), symbol_dtype(vocab_size)), jnp.ones(count, bool))
    return jax.lax.while_loop(lambda state: state[2].any(), redraw, start)[1]


def from_rules(
    rules: Sequence[ArrayLike],
    vocab_size: int | None = None,
    rule_probabilities: Tables | None = None,
    class_prior: ArrayLike | None = None,
    ambiguous: bool = False,
) -> RandomHierarchy:
    """Builds a grammar from given tables, root side first.

    A rule that a symbol has several times counts as often; so a symbol may have fewer rules than
    others.

    Args:
      rules: for each level l, a table (V_l, M_l, S_l) of integers: entry [a, k] holds the symbols
        of level l + 1 that rule k makes of symbol a.
      vocab_size: number of leaf symbols; None for the largest leaf in the tables plus one.
      rule_probabilities: for each level l, a table (V_l, M_l) of the probability of each rule of
        each symbol, whose rows sum to one; None for uniform rules.
      class_prior: (C,) probabilities of the classes, which sum to one; None for uniform classes.
      ambiguous: whether symbols of a level may share a tuple.

    Returns:
      The grammar.

    Raises:
      ValueError: a table is ragged, or of the wrong shape or type, a symbol is out of range, two
        symbols of a level share a tuple and are not to, or probabilities are negative or do not
        sum to one.
    """
    arrays = [_array(level, table) for level, table in enumerate(rules)]
    if not arrays:
        raise ValueError("rules is empty: give one table for each level, root side first")
    for level, table in enumerate(arrays):
        if table.ndim != 3 or 0 in table.shape or not np.issubdtype(table.dtype, np.integer):
            raise ValueError(
                f"rules of level {level} have shape {table.shape} and type {table.dtype}: give "
                "integers of shape (symbols, rules, branching)"
            )
    if vocab_size is None:
        vocab_size = int(arrays[-1].max()) + 1
    spec = RandomHierarchySpec(
        num_classes=arrays[0].shape[0],
        vocab_size=(*(table.shape[0] for table in arrays[1:]), vocab_size),
        num_rules=tuple(table.shape[1] for table in arrays),
        branching=tuple(table.shape[2] for table in arrays),
        depth=len(arrays),
        ambiguous=ambiguous,
    )
    for level, table in enumerate(arrays):
        bound = spec.symbols(level + 1)
        if table.min() < 0 or table.max() >= bound:
            raise ValueError(
                f"rules of level {level} use symbols {table.min()} to {table.max()}, but level "
                f"{level + 1} has symbols 0 to {bound - 1}"
            )
        num_shared = _shared_tuples(table)
        if num_shared and not ambiguous:
            raise ValueError(
                f"symbols of level {level} share {num_shared} tuples: every tuple may belong to "
                "one symbol only, unless the grammar is ambiguous"
            )
    tables = tuple(
        jnp.asarray(table, symbol_dtype(spec.symbols(level + 1)))
        for level, table in enumerate(arrays)
    )
    return _with_probabilities(RandomHierarchy(spec, tables), rule_probabilities, class_prior)


def _shared_tuples(table: Integer[np.ndarray, "V M S"]) -> int:
    """Returns how many tuples are made by rules of several symbols."""
    symbols = np.repeat(np.arange(len(table)), table.shape[1])
    rules = np.column_stack([table.reshape(len(symbols), -1), symbols])
    tuples = np.unique(rules, axis=0)[:, :-1]
    return len(tuples) - len(np.unique(tuples, axis=0))


def _array(level: int, table: ArrayLike) -> np.ndarray:
    try:
        return np.asarray(table)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"rules of level {level} are no table: give as many rules of each symbol, and as many "
            "symbols of each rule"
        ) from error


def latin_square_top(grammar: RandomHierarchy) -> RandomHierarchy:
    """Gives a grammar a top rule that hides the class from every single patch.

    Rule a of class y becomes the pair (a, (a + y) mod M): either child alone is independent of y,
    so that layerwise learning must stay at chance on unseen strings.

    Args:
      grammar: the grammar, whose lower levels are kept.

    Returns:
      The new grammar.

    Raises:
      ValueError: the spec allows no such rule (see `check_latin_square`), or the rules have
        probabilities, which would tell classes apart.
    """
    if grammar.rule_probabilities is not None:
        raise ValueError("a Latin-square top rule needs uniform rules: give no rule_probabilities")
    check_latin_square(grammar.spec)
    num_classes, num_rules = grammar.spec.num_classes, grammar.spec.num_rules[0]
    left, classes = jnp.arange(num_rules)[None], jnp.arange(num_classes)[:, None]
    pairs = jnp.stack(jnp.broadcast_arrays(left, (left + classes) % num_rules), axis=-1)
    return grammar.replace(rules=(pairs.astype(grammar.rules[0].dtype), *grammar.rules[1:]))


def check_latin_square(spec: RandomHierarchySpec) -> None:
    """Refuses sizes that allow no Latin-square top rule (see `latin_square_top`).

    Args:
      spec: sizes of the grammar.

    Raises:
      ValueError: the top level is not made of pairs, or C <= M <= V does not hold there.
    """
    num_classes, num_rules, symbols = spec.num_classes, spec.num_rules[0], spec.symbols(1)
    if spec.branching[0] != 2 or not num_classes <= num_rules <= symbols:
        raise ValueError(
            f"a Latin-square top rule needs branching 2 and num_classes <= num_rules <= vocab_size "
            f"at the top, not branching {spec.branching[0]} and {num_classes}, {num_rules}, "
            f"{symbols}"
        )


def _with_probabilities(
    grammar: RandomHierarchy, rule_probabilities: Any, class_prior: ArrayLike | None
) -> RandomHierarchy:
    spec = grammar.spec
    if rule_probabilities is not None:
        num_tables = len(rule_probabilities) if hasattr(rule_probabilities, "__len__") else "no"
        if num_tables != spec.depth:
            raise ValueError(
                f"rule_probabilities has {num_tables} tables for depth={spec.depth}: "
                "give one for each level, root side first"
            )
        rule_probabilities = tuple(
            _checked_probabilities(
                f"rule_probabilities of level {level}",
                table,
                (spec.symbols(level), spec.num_rules[level]),
            )
            for level, table in enumerate(rule_probabilities)
        )
    if class_prior is not None:
        class_prior = _checked_probabilities("class_prior", class_prior, (spec.num_classes,))
    return grammar.replace(rule_probabilities=rule_probabilities, class_prior=class_prior)


def _checked_probabilities(
    name: str, table: ArrayLike, shape: tuple[int, ...]
) -> Float[Array, "..."]:
    try:
        table = jnp.asarray(table, jnp.float32)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} is no table of numbers of shape {shape}") from error
    if table.shape != shape:
        raise ValueError(f"{name} has shape {table.shape}, but the grammar needs {shape}")
    if not isinstance(table, jax.core.Tracer):
        sums = np.asarray(table).sum(axis=-1)
        if np.min(table) < 0 or not np.allclose(sums, 1, atol=1e-4):
            raise ValueError(
                f"{name} must be non-negative and sum to one in every row, but has least entry "
                f"{np.min(table):g} and row sums from {sums.min():g} to {sums.max():g}"
            )
    return table
