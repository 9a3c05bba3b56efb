"""Strings of random hierarchies with one node changed: what a seed draws for its learners."""

from typing import cast

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, Key

from hierjax.exact import next_tokens, observe
from hierjax.runs.learners.string_points import draw_strings
from hierjax.runs.learners.tokens import of_tokens
from hierjax.tasks import (
    PLAIN,
    Batch,
    GrammarDraw,
    RandomHierarchy,
    RandomHierarchySpec,
    next_token,
    resample_rule,
    resample_symbol,
)


class TreeData(struct.PyTreeNode):
    """The strings of a seed, and test strings with a node changed, as a learner sees them.

    Attributes:
      train: train strings, and their classes.
      test: test strings, with their trees.
      rules: for each level, the lowest first, (P, N, d) the test strings when another rule has been
        drawn at each of the P nodes, one after the other.
      symbols: the same for other symbols, from the level of the leaves on.
      best: (N, d) log-probability that exact inference gives to each token of the test strings.
      num_unseen: () int32, number of test strings that were found, see `require_filled`.
      spec: sizes of the grammars.
      of_tokens: whether inputs are those of models of the next token.
      kept: whether the features of the test strings are kept, not only measured.
    """

    train: Batch
    test: Batch
    rules: tuple[Array, ...]
    symbols: tuple[Array, ...]
    best: Array
    num_unseen: Array
    spec: RandomHierarchySpec = struct.field(pytree_node=False)
    of_tokens: bool = struct.field(pytree_node=False, default=False)
    kept: bool = struct.field(pytree_node=False, default=False)

    @property
    def for_tokens(self) -> "TreeData":
        """The same as inputs of models of the next token."""
        num_symbols = self.spec.symbols(self.spec.depth)

        def seen(strings: Array) -> Array:
            flat = next_token(strings.reshape(-1, strings.shape[-1]), num_symbols).inputs
            return flat.reshape(strings.shape)

        test = self.test.replace(inputs=seen(self.test.inputs))
        rules, symbols = jax.tree.map(seen, (self.rules, self.symbols))
        return self.replace(test=test, rules=rules, symbols=symbols, of_tokens=True)

    def stand_for(self, num_positions: int, num_nodes: int) -> np.ndarray:
        """Which positions of features (P) stand for which nodes (Q) of a level, (Q, P).

        A patch stands for the nodes with which it shares leaves. A model of the next token has seen
        a node when all of its leaves are before the token that is to be predicted.
        """
        nodes, positions = np.arange(num_nodes)[:, None], np.arange(num_positions)[None]
        if self.of_tokens:
            return positions * num_nodes >= (nodes + 1) * num_positions
        common = min(num_nodes, num_positions)
        return nodes * common // num_nodes == positions * common // num_positions


def draw_trees(
    key: Key[Array, ""],
    spec: RandomHierarchySpec,
    num_train: int,
    num_test: int,
    draw: GrammarDraw = PLAIN,
) -> TreeData:
    """Draws the strings of a seed, and what becomes of test strings when a node is changed.

    Args:
      key: typed PRNG key of the seed.
      spec: sizes of the grammar, without null symbols.
      num_train: number of train strings.
      num_test: number of test strings.
      draw: how the grammar is drawn.

    Raises:
      ValueError: the language is too small for so many strings, or has no other rules or symbols.
    """
    strings = draw_strings(key, spec, num_train, num_test, draw)
    grammar, test = cast(RandomHierarchy, strings.grammar), strings.test
    spec = grammar.spec

    def changed(resample, stream: int, level: int) -> Array:
        own = jax.random.fold_in(jax.random.fold_in(key, stream), level)

        def at(index):
            return resample(grammar, jax.random.fold_in(own, index), test, level, index).inputs

        return jax.vmap(at)(jnp.arange(spec.nodes(level)))

    best = next_tokens(grammar, observe(spec, test.inputs)).probabilities
    return TreeData(
        strings.train,
        test,
        tuple(changed(resample_rule, 4, level) for level in reversed(range(spec.depth))),
        tuple(changed(resample_symbol, 5, level) for level in reversed(range(spec.depth + 1))),
        of_tokens(jnp.log(best), test.inputs),
        strings.num_unseen,
        spec,
    )
