"""Context-free grammars whose rules differ in length, and whose strings do, too.

Symbols of all positions are rewritten at once, round after round, until terminals are left. Strings
that grow beyond the longest that is wanted are drawn anew, so strings have exactly the law of the
grammar, given that they are not longer.
"""

import dataclasses
import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, Bool, Int, Key, UInt32

from hierjax.tasks.batch import Batch
from hierjax.tasks.choices import random_words
from hierjax.tasks.normal_form import (
    NormalForm,
    Rule,
    is_terminal,
    length_shares,
    normal_form,
    require_rules,
    symbols_of,
)
from hierjax.tasks.token_objectives import TokenExamples, next_token

_NOTHING = -1
_FRACTION_BITS = 24
_LEAST_SHARE = 0.01
_MOST_LENGTH = 2**14


@dataclasses.dataclass(frozen=True)
class ContextFreeSpec:
    """Sizes and names of a context-free grammar.

    Tokens of strings are the terminals, from 0, and the end, V, which counts as a token.

    Attributes:
      symbols: names of the symbols that have rules, the start first.
      terminals: names of the terminals, in quotes.
      max_length: largest number of tokens of a string, the end included, T.
      widths: largest numbers of symbols after each round of rewriting, up to that after which
        terminals alone are left, whatever is drawn; None where a symbol may come back below itself,
        so that there is no such round.
      share: share of all strings of the grammar that are not longer.
    """

    symbols: tuple[str, ...]
    terminals: tuple[str, ...]
    max_length: int
    widths: tuple[int, ...] | None
    share: float

    @property
    def rounds(self) -> int | None:
        """Number of these rounds; None where there may be any number."""
        return None if self.widths is None else len(self.widths)

    @property
    def num_symbols(self) -> int:
        """Number of tokens that there are, V + 1."""
        return len(self.terminals) + 1

    @property
    def end(self) -> int:
        """The token of the end, which also fills the positions after it."""
        return len(self.terminals)


class ContextFree(struct.PyTreeNode):
    """A task: the strings of a context-free grammar, see `context_free`.

    In the tables symbols have the numbers of `spec.symbols`, and terminals follow them.

    Attributes:
      spec: sizes and names, static.
      children: (S, M, K) int32, what each of the rules of a symbol makes, filled with -1.
      bounds: (S, M) float32, sums of the probabilities of the rules up to each.
      form: the same grammar in normal form, for inference.
    """

    spec: ContextFreeSpec = struct.field(pytree_node=False)
    children: Array
    bounds: Array
    form: NormalForm

    @functools.partial(jax.jit, static_argnames="n")
    def sample(self, key: Key[Array, ""], n: int) -> Batch:
        """Draws strings; those of a smaller n are the first of a larger one.

        Probabilities of rules are exact to 2^-24.

        Args:
          key: typed PRNG key.
          n: number of strings, N, static.

        Returns:
          inputs (N, T) int32, strings, filled with the end; labels (N,) int32, their numbers of
          tokens; as latents, where no symbol comes back below itself, for each round (N, T) int32
          the symbol that stood above a token before the round, -1 from the end on: the start first.
        """
        spec = self.spec

        def draw_missing(state):
            attempt, found = state
            drawn = _derive(self, jax.random.fold_in(key, attempt), n)

            def keep(old, new):
                return jnp.where(found.fits[:, None], old, new)

            above = tuple(map(keep, found.above, drawn.above))
            symbols = keep(found.symbols, drawn.symbols)
            return attempt + 1, _Strings(symbols, found.fits | drawn.fits, above)

        start = jax.tree.map(
            lambda leaf: jnp.zeros(leaf.shape, leaf.dtype),
            jax.eval_shape(lambda: _derive(self, key, n)),
        )
        _, found = jax.lax.while_loop(
            lambda state: ~state[1].fits.all(), draw_missing, (jnp.int32(0), start)
        )

        def padded(values, fill):
            width = spec.max_length - values.shape[1]
            return jnp.pad(values, ((0, 0), (0, width)), constant_values=fill)

        is_token = found.symbols >= 0
        tokens = jnp.where(is_token, found.symbols - len(spec.symbols), spec.end)
        above = tuple(padded(jnp.where(is_token, each, _NOTHING), _NOTHING) for each in found.above)
        return Batch(padded(tokens, spec.end), is_token.sum(axis=1, dtype=jnp.int32) + 1, above)

    @property
    def rules(self) -> list[Rule]:
        """The rules, their probabilities in single precision; not of a traced grammar."""
        names = self.spec.symbols + self.spec.terminals
        shares = np.diff(np.asarray(self.bounds), axis=1, prepend=0)
        # As text a share is the shortest number that it may have come from: .7, not .69999999.
        return [
            Rule(left, tuple(names[each] for each in made if each >= 0), float(f"{share}"))
            for left, children, own in zip(names, np.asarray(self.children), shares, strict=False)
            for made, share in zip(children, own, strict=True)
            if made[0] >= 0
        ]

    def next_token(self, batch: Batch) -> TokenExamples:
        """Asks for every token of strings from those before it, up to the end and not beyond.

        Args:
          batch: strings of `sample`.

        Returns:
          The examples; the symbol V + 1 stands for the beginning, see `hierjax.tasks.next_token`.
        """
        return next_token(batch.inputs, self.spec.num_symbols, batch.labels)


def context_free(rules: Sequence[Rule], max_length: int) -> ContextFree:
    """Makes the task of a context-free grammar.

    Args:
      rules: the rules; the symbol of the first is the start.
      max_length: largest number of tokens of a string, the end included; longer ones are not drawn.

    Raises:
      ValueError: the rules are refused by `require_rules`, the length is out of bounds, or fewer
        than a hundredth of the strings are so short.
    """
    require_rules(rules)
    if not 2 <= max_length <= _MOST_LENGTH:
        raise ValueError(f"max_length={max_length} must be from 2 to {_MOST_LENGTH}")
    rules = [rule for rule in rules if rule.probability > 0]
    form, (names, terminals) = normal_form(rules), symbols_of(rules)
    share = float(length_shares(form, max_length - 1).sum())
    if share < _LEAST_SHARE:
        raise ValueError(
            f"a share of {share:.2g} of the strings have at most max_length={max_length} tokens, "
            f"fewer than {_LEAST_SHARE}: raise max_length"
        )
    number = {name: place for place, name in enumerate(names + terminals)}
    own = {name: [rule for rule in rules if rule.left == name] for name in names}
    sizes = len(names), max(map(len, own.values())), max(len(rule.right) for rule in rules)
    children, bounds = np.full(sizes, _NOTHING, np.int32), np.ones(sizes[:2], np.float32)
    for symbol, of_symbol in enumerate(own.values()):
        for place, rule in enumerate(of_symbol):
            children[symbol, place, : len(rule.right)] = [number[each] for each in rule.right]
        sums = np.cumsum([rule.probability for rule in of_symbol])
        bounds[symbol, : len(sums) - 1] = sums[:-1]
    widths = _widths(own, max_length - 1)
    spec = ContextFreeSpec(tuple(names), tuple(terminals), max_length, widths, min(share, 1.0))
    return ContextFree(spec, jnp.asarray(children), jnp.asarray(bounds), form)


def _widths(rules: dict[str, list[Rule]], longest: int) -> tuple[int, ...] | None:
    """Returns the largest numbers of symbols after each round, cut off; None if rounds go on."""
    widths, most = [], dict.fromkeys(rules, 1)  # Symbols that each makes in so many rounds.
    going = set(rules)
    while going:
        if len(widths) > len(rules):
            return None
        most = {
            name: max(
                sum(1 if is_terminal(each) else most[each] for each in rule.right) for rule in own
            )
            for name, own in rules.items()
        }
        widths.append(min(most[next(iter(rules))], longest))
        going = {
            name
            for name, own in rules.items()
            if any(each in going for rule in own for each in rule.right)
        }
    return tuple(widths)


class _Strings(struct.PyTreeNode):
    """Strings while they are rewritten.

    Attributes:
      symbols: (N, W) int32 numbers of symbols and terminals, -1 from the end on.
      fits: (N,) whether they have not grown too long.
      above: for each round so far (N, W) what stood above each.
    """

    symbols: Array
    fits: Array
    above: tuple[Array, ...]


def _derive(grammar: ContextFree, key: Key[Array, ""], n: int) -> _Strings:
    """Rewrites n starts until terminals are left, or they have grown too long."""
    spec = grammar.spec
    start = _Strings(jnp.zeros((n, 1), jnp.int32), jnp.ones(n, bool), ())
    if spec.widths is not None:
        for index, width in enumerate(spec.widths):
            words = random_words(jax.random.fold_in(key, index), n, start.symbols.shape[1]).T
            start = _rewrite(grammar, start, words, width)
        return start
    longest = spec.max_length - 1

    def one_round(state):
        index, strings = state
        words = random_words(jax.random.fold_in(key, index), n, longest).T
        return index + 1, _rewrite(grammar, strings, words, longest).replace(above=())

    def goes_on(state):
        strings = state[1]
        return (_has_rules(grammar, strings.symbols) & strings.fits[:, None]).any()

    symbols = jnp.pad(start.symbols, ((0, 0), (0, longest - 1)), constant_values=_NOTHING)
    state = jnp.int32(0), start.replace(symbols=symbols)
    return jax.lax.while_loop(goes_on, one_round, state)[1]


def _has_rules(grammar: ContextFree, symbols: Int[Array, "N W"]) -> Bool[Array, "N W"]:
    return (symbols >= 0) & (symbols < len(grammar.spec.symbols))


def _rewrite(
    grammar: ContextFree, strings: _Strings, words: UInt32[Array, "N W"], width: int
) -> _Strings:
    """Rewrites every symbol that has rules once; `width` is the largest number of symbols then."""
    symbols = strings.symbols
    has_rules, own = _has_rules(grammar, symbols), symbols.clip(0, len(grammar.spec.symbols) - 1)
    fractions = (words >> 32 - _FRACTION_BITS).astype(jnp.float32) * 2.0**-_FRACTION_BITS
    rules = (fractions[..., None] >= grammar.bounds[own]).sum(axis=-1)
    rules = rules.clip(0, grammar.children.shape[1] - 1)
    made = grammar.children[own, rules]
    made = jnp.where(has_rules[..., None], made, jnp.full_like(made, _NOTHING))
    made = made.at[..., 0].set(jnp.where(has_rules, made[..., 0], symbols))
    counts = (made >= 0).sum(axis=-1, dtype=jnp.int32)
    ends = jnp.cumsum(counts, axis=1)
    places = jnp.arange(width, dtype=jnp.int32)
    parents = jax.vmap(lambda row: jnp.searchsorted(row, places, side="right"))(ends)
    parents = parents.clip(0, symbols.shape[1] - 1)
    firsts = jnp.take_along_axis(ends - counts, parents, axis=1)
    flat = parents * made.shape[-1] + (places[None] - firsts).clip(0, made.shape[-1] - 1)
    children = jnp.take_along_axis(made.reshape(made.shape[0], -1), flat, axis=1)
    is_child = places[None] < ends[:, -1:]
    above = tuple(jnp.take_along_axis(each, parents, 1) for each in (*strings.above, symbols))
    return _Strings(
        jnp.where(is_child, children, _NOTHING), strings.fits & (ends[:, -1] <= width), above
    )
