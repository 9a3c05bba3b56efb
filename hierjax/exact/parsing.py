"""Parsing whole strings by looking up tuples: as no two rules make one tuple, there is no choice.

A level's tuples are looked up child by child: the first children so far have a number, and a table
of (numbers, symbols) gives that of one child more; the last table gives the parent.
"""

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Bool, Int, Integer

from hierjax.checks import AnyArray, in_range, require_integers, require_shape
from hierjax.exact.evidence import require_hierarchy
from hierjax.exact.recursion import in_blocks
from hierjax.tasks.random_hierarchy import RandomHierarchy, RandomHierarchySpec, symbol_dtype
from hierjax.tasks.rows import first_occurrence

_MOST_ENTRIES = 2**28


class Parse(struct.PyTreeNode):
    """The trees of N strings.

    Attributes:
      levels: for each level l from 0 to L, (N, P_l) symbols of its nodes, as `Batch.latents`. Those
        of nodes above a tuple that no rule makes mean nothing.
      fails_at: (N,) int32, -1 for strings of the language; else the lowest level, from 0 at the
        root to L - 1, with a node that can be no symbol, for `require_possible`.
    """

    levels: tuple[Array, ...]
    fails_at: Array

    @property
    def possible(self) -> Bool[Array, " N"]:
        """(N,) bool: whether the string is of the language."""
        return self.fails_at < 0


def parse(grammar: RandomHierarchy, strings: Integer[AnyArray, "N d"]) -> Parse:
    """Parses complete strings that are seen without noise.

    Rules and classes of probability zero count as any others. The function may be jitted, and
    mapped over grammars and strings by `jax.vmap`.

    Args:
      grammar: the grammar.
      strings: (N, d) symbols of the leaves.

    Returns:
      The trees. Inside `jax.jit` and `jax.vmap`, a string with a symbol that is out of range fails,
      at level L - 1.

    Raises:
      ValueError: shapes or types do not match the grammar, a symbol is known and out of range, the
        grammar is ambiguous, or a table of it would have more than 2^28 entries.
    """
    _require(grammar, strings)
    return _parse(grammar, jnp.asarray(strings))


def derivable(
    grammar: RandomHierarchy, strings: Integer[AnyArray, "N d"]
) -> tuple[Bool[Array, "N _"], ...]:
    """Tells of every node whether some symbol of its level derives the leaves below it.

    A string of the language has such nodes alone; of other strings it says how high they make
    sense. Rules and classes of probability zero count as any others. The function may be jitted,
    and mapped over grammars and strings by `jax.vmap`.

    Args:
      grammar: the grammar.
      strings: (N, d) symbols of the leaves.

    Returns:
      For each level l from 0 at the root to L - 1, (N, P_l) bool.

    Raises:
      ValueError: as `parse`.
    """
    _require(grammar, strings)
    return _derivable(grammar, jnp.asarray(strings))


def require_unambiguous(spec: RandomHierarchySpec) -> None:
    """Refuses grammars whose symbols may share tuples, so that strings have no parse.

    Raises:
      ValueError: the grammar is ambiguous.
    """
    if spec.ambiguous:
        raise ValueError(
            "an ambiguous grammar has no parse, as symbols share tuples: leave ambiguous out, or "
            "use posteriors or best_derivations"
        )


def _require(grammar: RandomHierarchy, strings: Integer[AnyArray, "N d"]) -> None:
    spec = grammar.spec
    require_hierarchy(spec)
    require_unambiguous(spec)
    grammar.require_tables()
    require_shape("strings", strings, (None, spec.num_leaves), "give the leaves of N strings")
    require_integers("strings", strings, spec.symbols(spec.depth), "symbols")
    for level in range(spec.depth):
        entries = spec.symbols(level) * spec.num_rules[level] * spec.symbols(level + 1)
        if entries > _MOST_ENTRIES:
            raise ValueError(
                f"the tuples of level {level} need a table of {entries} entries, more than "
                f"{_MOST_ENTRIES}: use best_derivations"
            )


@jax.jit
def _parse(grammar: RandomHierarchy, strings: Integer[Array, "N d"]) -> Parse:
    spec = grammar.spec
    num_symbols = spec.symbols(spec.depth)
    tables = _all_tables(grammar)

    def of_block(first, strings):
        del first
        levels, fails_at = _levels(spec, tables, strings), jnp.full(len(strings), -1, jnp.int32)
        for level in range(spec.depth - 1, -1, -1):
            failed = (levels[level] == spec.symbols(level)).any(axis=0)
            fails_at = jnp.where((fails_at < 0) & failed, level, fails_at)
        upper = [_kept(each.T, spec.symbols(level)) for level, each in enumerate(levels)]
        return Parse((*upper, _kept(strings, num_symbols)), fails_at)

    return in_blocks(spec.num_leaves, of_block, strings)


@jax.jit
def _derivable(grammar: RandomHierarchy, strings: Integer[Array, "N d"]) -> tuple[Array, ...]:
    spec, tables = grammar.spec, _all_tables(grammar)

    def of_block(first, strings):
        del first
        levels = _levels(spec, tables, strings)
        return tuple((each != spec.symbols(level)).T for level, each in enumerate(levels))

    return in_blocks(spec.num_leaves, of_block, strings)


def _all_tables(grammar: RandomHierarchy) -> list[list[Int[Array, "_ _"]]]:
    rules = enumerate(grammar.rules, 1)
    return [_tables(table, grammar.spec.symbols(level)) for level, table in rules]


def _levels(spec, tables, strings: Integer[Array, "N d"]) -> list[Int[Array, "P N"]]:
    """Returns the symbols of the nodes of each level above the leaves; V_l for those of none."""
    num_symbols = spec.symbols(spec.depth)
    # Strings last, and one symbol more that stands for none.
    symbols = jnp.where(in_range(strings, num_symbols), strings.astype(jnp.int32), num_symbols).T
    levels = []
    for table, branching in zip(tables[::-1], spec.branching[::-1], strict=True):
        symbols = _parents(table, branching, symbols)
        levels.append(symbols)
    return levels[::-1]


def _kept(symbols: Integer[Array, "N P"], num_symbols: int) -> Integer[Array, "N P"]:
    return symbols.clip(0, num_symbols - 1).astype(symbol_dtype(num_symbols))


def _tables(rules: Integer[Array, "V M S"], num_symbols: int) -> list[Int[Array, "_ _"]]:
    """Returns for each child that is looked up a table of (numbers of those before it, symbols)."""
    num_parents, num_rules, branching = rules.shape
    tuples = rules.reshape(-1, branching).astype(jnp.int32)
    parents = jnp.arange(len(tuples)) // num_rules
    # A first child is its own number; an only child is looked up as if one came before it.
    first = min(branching - 1, 1)
    numbers, most, tables = first * tuples[:, 0], first * num_symbols, []
    for child in range(first, branching):
        if child == branching - 1:
            made, none = parents, num_parents
        else:
            made, none = first_occurrence(tuples[:, : child + 1]), len(tuples)
        table = jnp.full((most + 1, num_symbols + 1), none, jnp.int32)
        tables.append(table.at[numbers, tuples[:, child]].set(made))
        numbers, most = made, none
    return tables


def _parents(
    tables: list[Int[Array, "_ _"]], branching: int, symbols: Int[Array, "Q N"]
) -> Int[Array, "P N"]:
    """Returns the symbols (P, N) that make tuples of symbols (P * S, N); V where none does."""
    children = symbols.reshape(len(symbols) // branching, branching, symbols.shape[1])
    first = min(branching - 1, 1)
    found = first * children[:, 0]
    for child, table in enumerate(tables, first):
        found = found * table.shape[1] + children[:, child]
        found = table.ravel().at[found].get(mode="promise_in_bounds")
    return found
