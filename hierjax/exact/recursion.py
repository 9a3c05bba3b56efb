"""The inside recursion: what the leaves below a node say of its symbol, from the leaves up.

beta_l[a, i] = e_l[a, i] sum_k p(k | a) prod_j beta_{l+1}[rule_l[a, k, j], S i + j], where e are the
weights of the evidence. All is kept in logarithms, in which no weight is too small for float32, and
each node's are given less their largest, which is added up. A rule's product over its children is
then a sum, and those of all rules one matrix product with zeros and ones.

Arrays are (symbols, nodes, strings), so that strings lie side by side in memory. A level's rules
are a table (V_l, M_l); the classes are the rules of one symbol above the root.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from hierjax.exact.evidence import NEVER, log
from hierjax.exact.semirings import Sum
from hierjax.tasks.random_hierarchy import RandomHierarchy, RandomHierarchySpec

_IMPOSSIBLE = NEVER / 2
_MOST_ENTRIES = 2**28
_NUMBERS_AT_ONCE = {"cpu": 2**17, "default": 2**26}


class Tables(NamedTuple):
    """A grammar as the recursion reads it.

    Attributes:
      rules: for each level l, logarithms (V_l, M_l) of the probabilities of the rules, or (1, 1)
        where all are the same.
      children: for each level l, (S_l, V_l, M_l, V_{l+1}) zeros and ones: whether a child that a
        rule makes is a symbol.
      classes: (C,) logarithms of the probabilities of the classes.
    """

    rules: tuple[Array, ...]
    children: tuple[Array, ...]
    classes: Array


class Inside(NamedTuple):
    """What the recursion knows when it has come to the root.

    Attributes:
      total: (N,) logarithm of the sum over derivations.
      classes: (C, N) logarithms of the weights of the classes, in any scale.
      messages: for each level from the root to the leaves (V_l, P_l, N), in any scale of each
        node; of levels that were passed over None.
      fails_at: (N,) int32, the lowest level above the leaves with a node that can be no symbol; -1
        for none. (To look at the leaves, too, would cost a quarter more.)
    """

    total: Array
    classes: Array
    messages: tuple[Any, ...]
    fails_at: Array


def tables(grammar: RandomHierarchy, dtype: Any) -> Tables:
    """Returns the tables of a grammar; probabilities are divided by their sum in the given type.

    Raises:
      ValueError: tables are not of the sizes of the spec, or would have more than 2^28 entries.
    """
    grammar.require_tables()
    for level, table in enumerate(grammar.rules):
        num_symbols = grammar.spec.symbols(level + 1)
        if table.size * num_symbols > _MOST_ENTRIES:
            raise ValueError(
                f"rules of level {level} make {table.size} symbols of {num_symbols} kinds, whose "
                f"product is more than {_MOST_ENTRIES}: lower vocab_size or num_rules"
            )
    rules, children = [], []
    for level, table in enumerate(grammar.rules):
        weights = jnp.full((1, 1), 1 / table.shape[1], dtype)
        if grammar.rule_probabilities is not None:
            weights = grammar.rule_probabilities[level].astype(dtype)
            weights /= weights.sum(axis=1, keepdims=True)
        rules.append(log(weights))
        made = table.transpose(2, 0, 1).astype(jnp.int32)
        children.append(jax.nn.one_hot(made, grammar.spec.symbols(level + 1), dtype=dtype))
    prior = jnp.ones(grammar.spec.num_classes, dtype)
    if grammar.class_prior is not None:
        prior = grammar.class_prior.astype(dtype)
    return Tables(tuple(rules), tuple(children), log(prior / prior.sum()))


def climb(
    tables: Tables,
    logs: Sequence[Any],
    add: Sum,
    filtered: int = 0,
) -> Inside:
    """Runs the recursion from the lowest level that there is evidence of.

    Args:
      tables: the grammar.
      logs: for each level from the root down, (V_l, P_l, N) logarithms of the weights of evidence,
        or None for none; of the lowest there must be some.
      add: the sum, see `semirings`.
      filtered: level k whose nodes are independent given the class (arXiv 2408.15138); 0 for the
        grammar as it is.
    """
    lowest = len(logs) - 1
    message = logs[lowest]
    total = jnp.zeros(message.shape[-1], message.dtype)
    fails_at = jnp.full(message.shape[-1], -1, jnp.int32)
    messages: list[Any] = [message]
    for level in range(lowest - 1, -1, -1):
        if level and level < filtered:
            messages.append(None)
            continue
        if level < filtered:
            given = _log_symbols(tables, filtered)
            terms = given[..., None] + message[None]
            message = add(level, terms).sum(axis=1, keepdims=True)
        else:
            terms = rule_terms(tables, level, message)
            message = add(level, terms)
        if logs[level] is not None:
            message = message + logs[level]
        message, scale, failed = _scaled(message)
        total += scale
        fails_at = jnp.where((fails_at < 0) & failed, level, fails_at)
        messages.append(message)
    classes = message[:, 0] + tables.classes[:, None]
    total += add(len(logs), classes[None, :, None])[0, 0]
    fails_at = jnp.where((fails_at < 0) & ~(total >= _IMPOSSIBLE), 0, fails_at)
    return Inside(total, classes, tuple(messages[::-1]), fails_at)


def rule_terms(
    tables: Tables, level: int, message: Float[Array, "W Q N"]
) -> Float[Array, "V M P N"]:
    """Returns the weight (V, M, P, N) of each rule for each node, of messages (W, P * S, N)."""
    children, rules = tables.children[level], tables.rules[level]
    branching, num_parents, _, num_symbols = children.shape
    nodes, n = message.shape[1] // branching, message.shape[2]
    # One product over the children and symbols together.
    stacked = message.reshape(num_symbols, nodes, branching, n).transpose(2, 0, 1, 3)
    flat = children.transpose(1, 2, 0, 3).reshape(-1, branching * num_symbols)
    terms = jnp.matmul(flat, stacked.reshape(-1, nodes * n), precision="highest")
    return terms.reshape(num_parents, -1, nodes, n) + rules[..., None, None]


def symbols_given_class(tables: Tables, level: int) -> Float[Array, "C V P"]:
    """Returns the probabilities of the symbols of each node of a level, given the class."""
    num_classes = tables.classes.shape[0]
    given = jnp.eye(num_classes, dtype=tables.classes.dtype)[..., None]
    for rules, children in zip(tables.rules[:level], tables.children[:level], strict=True):
        weighted = children * jnp.exp(rules)[None, ..., None]
        given = jnp.einsum("cap,sakb->cbps", given, weighted, precision="highest")
        given = given.reshape(num_classes, given.shape[1], -1)
    return given


def _log_symbols(tables: Tables, level: int) -> Float[Array, "C V P"]:
    return log(symbols_given_class(tables, level))


def _scaled(message: Float[Array, "V P N"]) -> tuple[Array, Array, Array]:
    """Returns a message less its largest, what was taken off in all, and whether it failed."""
    largest = jax.lax.stop_gradient(message.max(axis=0))
    # A node that can be no symbol stays so.
    taken = jnp.where(largest >= _IMPOSSIBLE, largest, 0)
    return jnp.maximum(message - taken[None], NEVER), taken.sum(axis=0), _failed(largest)


def _failed(largest: Float[Array, "P N"]) -> Bool[Array, " N"]:
    """Returns whether a node of a string can be no symbol; so it is if one's message is NaN."""
    return ~(largest.min(axis=0) >= _IMPOSSIBLE)


def num_terms(spec: RandomHierarchySpec) -> int:
    """Returns how many terms the recursion adds up at once for one string, at most."""
    return max(
        spec.symbols(level) * spec.num_rules[level] * spec.nodes(level)
        for level in range(spec.depth)
    )


def in_blocks(num_numbers: int, function: Callable[[Int[Array, ""], Any], Any], rows: Any) -> Any:
    """Applies a function to blocks of strings: on a CPU as many as its cache has room for.

    Args:
      num_numbers: how many numbers the function holds at once for one string.
      function: (index of the first string, pytree of (n, ...) rows) -> pytree of (n, ...) rows.
      rows: pytree of (N, ...) rows.

    Returns:
      Pytree of (N, ...) rows.
    """
    n = jax.tree.leaves(rows)[0].shape[0]

    def by(most):
        size = min(max(most // num_numbers, 1), max(n, 1))
        count = math.ceil(n / size)

        def cut(array):
            padding = ((0, count * size - n), *((0, 0) for _ in array.shape[1:]))
            return jnp.pad(array, padding).reshape(count, size, *array.shape[1:])

        def apply(rows):
            firsts = jnp.arange(count) * size
            blocks = jax.lax.map(lambda args: function(*args), (firsts, jax.tree.map(cut, rows)))
            return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:])[:n], blocks)

        return apply

    return jax.lax.platform_dependent(
        rows, **{platform: by(most) for platform, most in _NUMBERS_AT_ONCE.items()}
    )
