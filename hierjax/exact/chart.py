"""Exact inference for context-free grammars, by a chart over all spans of a string.

The inside weight of a symbol and a span is the probability that the symbol is rewritten into the
tokens of the span. Those of a span are kept in units of the largest of them, whose logarithm stands
beside them, so that strings may be long. What may come next follows from the symbols that are
expected at each position, given the tokens before it: those at the beginning of what is left to be
made, and whatever they may begin with (Jelinek and Lafferty 1991, with all prefixes in one pass).

Shape letters: N strings, T positions, S symbols, V terminals, R rules.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Float, Int, Integer

from hierjax.checks import AnyArray, in_range, require_integers, require_shape
from hierjax.tasks.context_free import ContextFree
from hierjax.tasks.normal_form import NormalForm

_MOST_CELLS = 2**29
_CELLS_AT_ONCE = 2**24


class Spans(struct.PyTreeNode):
    """Inside weights of the spans of a string.

    Attributes:
      weights: (S, A, B) by symbol and two numbers that tell the span, in units of the largest of
        the span; zeros for spans beyond the string.
      logs: (A, B) logarithms of these units; -inf where no symbol makes the span.
    """

    weights: Array
    logs: Array

    def part(self, first: Any, second: Any, shape: tuple[int, int]) -> "Spans":
        """Returns a block of so many of both numbers, from given ones on."""
        weights = jax.lax.dynamic_slice(
            self.weights, (0, first, second), (self.weights.shape[0], *shape)
        )
        return Spans(weights, jax.lax.dynamic_slice(self.logs, (first, second), shape))

    def put(self, first: Any, second: Any, other: "Spans") -> "Spans":
        """Writes a block from given numbers on."""
        weights = jax.lax.dynamic_update_slice(self.weights, other.weights, (0, first, second))
        logs = jax.lax.dynamic_update_slice(self.logs, other.logs, (first, second))
        return Spans(weights, logs)


class Chart(struct.PyTreeNode):
    """All spans of a string twice, so that the parts of all spans of a width are blocks.

    Positions come last: sums over the widths of parts are then sums of rows, which are fast.

    Attributes:
      left: by width less 1, and first position, (T, T).
      right: by T less width, and the position after the last one, (T, T + 1) and zeros beyond.
    """

    left: Spans
    right: Spans


def chart_likelihood(grammar: ContextFree, strings: Integer[AnyArray, "N T"]) -> Float[Array, " N"]:
    """Computes log-probabilities of whole strings, -inf for those that are not in the language.

    They are those of the grammar itself. Given that strings are not longer than its `max_length`,
    each is more probable by -log of the grammar's `spec.share`.

    Args:
      grammar: the grammar.
      strings: (N, T) tokens, up to the end or all of the row; what follows the end is not read.

    Raises:
      ValueError: these are no strings of tokens, or too long for a chart.
    """
    return _of_strings(grammar, strings, _likelihood)


def chart_next_tokens(
    grammar: ContextFree, strings: Integer[AnyArray, "N T"]
) -> Float[Array, "N T tokens"]:
    """Computes the law of each token, the end included, given those before it.

    It is that of the grammar itself, in which strings may be longer than its `max_length`.

    Args:
      grammar: the grammar.
      strings: (N, T) tokens; after the end the end is certain.

    Returns:
      (N, T, V + 1) probabilities; NaN after tokens that no string of the language has there.

    Raises:
      ValueError: as `chart_likelihood`.
    """
    return _of_strings(grammar, strings, _next_tokens)


def _of_strings(grammar, strings, of_one):
    if not isinstance(grammar, ContextFree):
        raise ValueError(
            f"a {type(grammar).__name__} has no chart: write its rules out for context_free, or "
            "take the functions of its own kind"
        )
    remedy = "give strings (N, T) of tokens"
    require_shape("strings", strings, (None, None), remedy)
    require_integers("strings", strings, grammar.spec.num_symbols, "tokens")
    # Of left spans S T^2, and three times as many of right ones, with their margins of zeros.
    cells = 4 * grammar.form.lexical.shape[0] * strings.shape[1] ** 2
    if cells > _MOST_CELLS:
        raise ValueError(
            f"strings of {strings.shape[1]} tokens need charts of {cells} numbers, more than "
            f"{_MOST_CELLS}: cut off what follows their ends, or give shorter ones"
        )
    at_once = max(_CELLS_AT_ONCE // max(cells, 1), 1)
    return _mapped(grammar, jnp.asarray(strings, jnp.int32), of_one, at_once)


@functools.partial(jax.jit, static_argnames=("of_one", "at_once"))
def _mapped(grammar: ContextFree, strings: Int[Array, "N T"], of_one, at_once: int):
    with jax.default_matmul_precision("highest"):
        return jax.lax.map(functools.partial(of_one, grammar), strings, batch_size=at_once)


def _likelihood(grammar: ContextFree, tokens: Int[Array, " T"]) -> Float[Array, ""]:
    length = _length(grammar, tokens)
    chart = _inside(grammar.form, tokens, length)
    return _whole(chart)[length]


def _length(grammar: ContextFree, tokens: Int[Array, " T"]) -> Int[Array, ""]:
    return (jnp.cumsum(tokens == grammar.spec.end) == 0).sum()


def _whole(chart: Chart) -> Float[Array, " lengths"]:
    """Returns log-probabilities of the string's first tokens as whole strings, by their number."""
    weights, logs = chart.left.weights[0, :, 0], chart.left.logs[:, 0]
    own = jnp.where(weights > 0, jnp.log(weights) + logs, -jnp.inf)
    return jnp.pad(own, (1, 0), constant_values=-jnp.inf)


def _inside(form: NormalForm, tokens: Int[Array, " T"], length: Int[Array, ""]) -> Chart:
    size, num_terminals = tokens.shape[0], form.lexical.shape[1]
    is_token = (jnp.arange(size) < length) & in_range(tokens, num_terminals)
    lexical = form.lexical[:, tokens.clip(0, num_terminals - 1)] * is_token[None]

    def empty(*shape):
        weights = jnp.zeros((lexical.shape[0], *shape), lexical.dtype)
        return Spans(weights, jnp.full(shape, -jnp.inf, lexical.dtype))

    # Spans of a width are read and written for as many positions as those half as wide have.
    chart = Chart(empty(size, size), empty(2 * size, size + size // 2 + 1))
    chart, low = _put(chart, 1, lexical, jnp.zeros(size, lexical.dtype)), 1
    bounds = _widths(form, size)
    while low < size:  # Twice as wide spans at most, so that few splits and starts are for nothing.
        high = min(2 * low, size)
        widen = functools.partial(_widen, form, bounds, low, high)
        chart, low = jax.lax.fori_loop(low + 1, high + 1, widen, chart), high
    return chart


def _widths(form: NormalForm, size: int) -> tuple[Int[Array, " R"], Int[Array, " R"]]:
    """Returns bounds of the widths of what each rule makes, exact up to the size."""
    num_symbols, (left, right) = form.lexical.shape[0], form.pairs.T
    is_word = form.lexical.max(axis=1) > 0

    def widen(state):
        _, least, most = state
        shorter = jax.ops.segment_min(least[left] + least[right], form.parents, num_symbols)
        longer = jax.ops.segment_max(most[left] + most[right], form.parents, num_symbols)
        widened = jnp.minimum(least, shorter), jnp.maximum(most, longer).clip(max=size)
        changed = (widened[0] < least) | (widened[1] > most)
        return changed.any(), *widened

    start = jnp.bool_(True), jnp.where(is_word, 1, size), is_word.astype(int)
    _, least, most = jax.lax.while_loop(lambda state: state[0], widen, start)
    return least[left] + least[right], most[left] + most[right]


def _widen(
    form: NormalForm,
    bounds: tuple[Int[Array, " R"], Int[Array, " R"]],
    low: int,
    high: int,
    width: Int[Array, ""],
    chart: Chart,
) -> Chart:
    """Adds the spans of a width above `low` and at most `high`."""
    size = chart.left.logs.shape[0]
    shape = high - 1, size - low  # Widths of the left part, and first positions.
    left = chart.left.part(0, 0, shape)
    right = chart.right.part(size - width + 1, width, shape)
    fits = jnp.arange(1, high)[:, None] < width
    logs = jnp.where(fits, left.logs + right.logs, -jnp.inf)
    units = _finite(logs.max(axis=0))
    shared = left.weights * jnp.exp(logs - units[None])[None]

    def of_rule(rule):
        (first, second), is_made = rule

        def add():
            return (shared[first] * right.weights[second]).sum(axis=0)

        # Most rules of a grammar without recursion make no span of a given width.
        return jax.lax.cond(is_made, add, lambda: jnp.zeros_like(units))

    is_made = (bounds[0] <= width) & (width <= bounds[1])
    made = jax.lax.map(of_rule, (form.pairs, is_made)) * form.weights[:, None]
    made = jax.ops.segment_sum(made, form.parents, form.lexical.shape[0])
    return _put(chart, width, made, units)


def _put(
    chart: Chart,
    width: int | Int[Array, ""],
    weights: Float[Array, "S starts"],
    logs: Float[Array, " starts"],
) -> Chart:
    """Writes the weights of the first spans of a width, given in units of their own."""
    largest = weights.max(axis=0)
    weights = weights / jnp.where(largest > 0, largest, 1)[None]
    spans = Spans(weights[:, None], (logs + jnp.log(largest))[None])
    size = chart.left.logs.shape[0]
    return Chart(chart.left.put(width - 1, 0, spans), chart.right.put(size - width, width, spans))


def _next_tokens(grammar: ContextFree, tokens: Int[Array, " T"]) -> Float[Array, "T tokens"]:
    form, size, end = grammar.form, tokens.shape[0], grammar.spec.end
    chart = _inside(form, tokens, _length(grammar, tokens))
    whole, starts = _whole(chart), jnp.arange(size)
    left, right = form.pairs.T

    def expected(place, begun, logs):
        """Symbols that are next to be made, in units of the probability of the tokens before."""
        ending = chart.right.part(size - place, place, (size, 1))
        terms = logs[:size] + ending.logs[:, 0]
        unit = _finite(terms.max())
        shares = jnp.exp(terms - unit)[None]
        inside = ending.weights[left, :, 0]
        made = (begun.T[form.parents] * inside * shares).sum(axis=1) * form.weights
        found = jax.ops.segment_sum(made, right, form.lexical.shape[0])
        return found * jnp.exp(unit - logs[place])

    def step(state, place):
        begun, logs, ended, wrong = state
        first = jnp.zeros(form.lexical.shape[0], form.lexical.dtype).at[0].set(1)
        begins = jnp.where(place == 0, first, expected(place, begun, logs)) @ form.corners
        ends = jnp.exp(whole[place] - logs[place])
        law = jnp.append(begins @ form.lexical, ends)
        law = jnp.where(ended, jnp.arange(end + 1) == end, law)
        shown = jnp.where(wrong, jnp.nan, law)
        token = tokens[place]
        own = jnp.where(in_range(token, end + 1), law[token.clip(0, end)], 0)
        wrong |= ~(own > 0)
        ended |= token == end
        log = jnp.where(wrong | ended, 0, logs[place] + jnp.log(own))
        return (begun.at[place].set(begins), logs.at[place + 1].set(log), ended, wrong), shown

    dtype = form.lexical.dtype
    start = (
        jnp.zeros((size, form.lexical.shape[0]), dtype),
        jnp.zeros(size + 1, dtype),
        jnp.bool_(False),
        jnp.bool_(False),
    )
    return jax.lax.scan(step, start, starts)[1]


def _finite(values: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    return jnp.where(jnp.isfinite(values), values, 0)
