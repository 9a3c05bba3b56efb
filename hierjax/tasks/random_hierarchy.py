"""Random hierarchy models: grammars whose strings hide a tree (arXiv 2307.02129, Section II).

A class, the symbol at the root, is rewritten by a random one of its rules into a tuple of symbols,
each of these into a tuple of symbols of the next level, and so on down to the leaves, which are
the string. A learner sees the string and is to tell the class.
"""

import dataclasses
import functools
import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, ArrayLike, Float, Int, Integer, Key, UInt32

from hierjax.checks import require_integers, require_shape
from hierjax.settings import setting
from hierjax.tasks import alias, choices
from hierjax.tasks.batch import Batch
from hierjax.tasks.joint_rules import JointRules, joint_options, joint_rules, joint_steps
from hierjax.tasks.tables import look_up

_MAX_DEPTH = 64
_MAX_LEAVES = 2**24
_MAX_SYMBOLS = 2**24
_STRINGS_AT_ONCE = {"cpu": 2**12, "tpu": 2**16}
"""Strings of a block; elsewhere all are made at once. A CPU's cache has room for so many. A TPU's
compiler takes nine seconds for so many, and a minute for 2^20."""


@dataclasses.dataclass(frozen=True, init=False)
class RandomHierarchySpec:
    """Sizes of a random hierarchy. Levels count from the root (0) to the leaves (depth).

    vocab_size, num_rules and branching are given as one number, or as one for each of the `depth`
    levels, root side first; they are kept as tuples of length `depth`.

    Attributes:
      num_classes: number of symbols at the root, C.
      vocab_size: number of symbols at each of the levels 1 to depth, V.
      num_rules: number of rules of each symbol at each of the levels 0 to depth - 1, M.
      branching: number of children of each node at each of the levels 0 to depth - 1, S.
      depth: number of expansions from the root to the leaves, L.
      ambiguous: whether symbols of a level may share a tuple, so that a string may have several
        derivations, and classes.

    Raises:
      ValueError: a size is not a positive integer or is beyond what can be held, a list has the
        wrong length, or a level has more rules than there are distinct tuples and is not ambiguous.
    """

    num_classes: int
    vocab_size: tuple[int, ...]
    num_rules: tuple[int, ...]
    branching: tuple[int, ...]
    depth: int
    ambiguous: bool = setting(False, flag=False)

    def __init__(
        self,
        num_classes: int,
        vocab_size: int | Sequence[int],
        num_rules: int | Sequence[int],
        branching: int | Sequence[int],
        depth: int,
        ambiguous: bool = False,
    ):
        object.__setattr__(self, "ambiguous", bool(ambiguous))
        for name, size, bound in (
            ("depth", depth, _MAX_DEPTH),
            ("num_classes", num_classes, choices.MAX_OPTIONS),
        ):
            _check_size(name, size, bound)
            object.__setattr__(self, name, int(size))
        for name, sizes, bound in (
            ("vocab_size", vocab_size, _MAX_SYMBOLS),
            ("num_rules", num_rules, choices.MAX_OPTIONS),
            ("branching", branching, _MAX_LEAVES),
        ):
            object.__setattr__(self, name, _for_each_level(name, sizes, self.depth, bound))
        if self.num_leaves > _MAX_LEAVES:
            raise ValueError(
                f"branching={self.branching} makes strings of {self.num_leaves} leaves, more than "
                f"{_MAX_LEAVES}: lower branching or depth"
            )
        for level in range(self.depth):
            needed = self.symbols(level) * self.num_rules[level]
            available = self.symbols(level + 1) ** self.branching[level]
            if needed > available and not self.ambiguous:
                raise ValueError(
                    f"level {level} needs {self.symbols(level)} symbols * {self.num_rules[level]} "
                    f"rules = {needed} distinct tuples, but {self.symbols(level + 1)} symbols in "
                    f"tuples of {self.branching[level]} make only {available}: lower num_rules or "
                    f"raise vocab_size or branching"
                )

    def symbols(self, level: int) -> int:
        """Returns the number of symbols at a level, V_l."""
        return self.num_classes if level == 0 else self.vocab_size[level - 1]

    def nodes(self, level: int) -> int:
        """Returns the number of nodes at a level of one tree, P_l."""
        return math.prod(self.branching[:level])

    @property
    def num_leaves(self) -> int:
        """Length of a string, d."""
        return self.nodes(self.depth)

    def distances(
        self, leaves: Integer[np.ndarray, "..."], others: Integer[np.ndarray, "..."]
    ) -> Int[np.ndarray, "..."]:
        """Returns the height of the least subtree with two leaves each, 0 for a leaf and itself.

        Args:
          leaves: integers below d.
          others: integers below d, whose shape is broadcast with that of the leaves.
        """
        sizes = [self.num_leaves // self.nodes(level) for level in range(1, self.depth + 1)]
        return np.sum([leaves // size != others // size for size in sizes], axis=0)

    @property
    def distances_before(self) -> list[int]:
        """For each leaf the height of the least subtree with it and the one before; first L + 1."""
        leaves = np.arange(1, self.num_leaves)
        return [self.depth + 1, *self.distances(leaves, leaves - 1).tolist()]

    @property
    def num_strings(self) -> int:
        """Number of derivations, as an exact Python integer: of strings, if each has but one."""
        ways = (m ** self.nodes(level) for level, m in enumerate(self.num_rules))
        return self.num_classes * math.prod(ways)


def _check_size(name: str, value, bound: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise ValueError(f"{name}={value!r} must be an integer")
    if not 1 <= value <= bound:
        raise ValueError(f"{name}={value} must be from 1 to {bound}")


def _for_each_level(name: str, value, depth: int, bound: int) -> tuple[int, ...]:
    values = tuple(value) if isinstance(value, Sequence) else (value,) * depth
    if len(values) != depth:
        raise ValueError(
            f"{name} lists {len(values)} numbers for depth={depth}: give one number, or one for "
            "each level, root side first"
        )
    for each in values:
        _check_size(name, each, bound)
    return tuple(int(each) for each in values)


class RandomHierarchy(struct.PyTreeNode):
    """A grammar: every symbol of a level is rewritten by one of its rules into the level below.

    Symbols of a level share no tuple, so a string has one tree at most, unless `spec.ambiguous`. A
    rule that a symbol has several times counts as often.

    Attributes:
      spec: sizes, static.
      rules: for each level l, (V_l, M_l, S_l) symbols of level l + 1 that each rule makes, in the
        smallest unsigned type that holds them.
      rule_probabilities: for each level l, (V_l, M_l) float32 probabilities of the rules of each
        symbol; None for uniform rules.
      class_prior: (C,) float32 probabilities of the classes; None for uniform classes.
    """

    spec: RandomHierarchySpec = struct.field(pytree_node=False)
    rules: tuple[Array, ...]
    rule_probabilities: tuple[Array, ...] | None = None
    class_prior: Array | None = None

    @property
    def num_strings(self) -> int:
        """Number of derivations, see `RandomHierarchySpec.num_strings`."""
        return self.spec.num_strings

    @property
    def class_shares(self) -> Float[Array, " C"]:
        """Probabilities of the classes, equal or not."""
        if self.class_prior is None:
            return jnp.full(self.spec.num_classes, 1 / self.spec.num_classes)
        return self.class_prior

    def rule_shares(self, level: int) -> Float[Array, "V M"]:
        """Returns the probabilities of the rules of each symbol of a level, equal or not."""
        if self.rule_probabilities is None:
            shape = self.rules[level].shape[:2]
            return jnp.full(shape, 1 / shape[1])
        return self.rule_probabilities[level]

    @functools.partial(jax.jit, static_argnames="n")
    def sample(self, key: Key[Array, ""], n: int, first: ArrayLike = 0) -> Batch:
        """Draws strings with their whole trees; those of a smaller n are the first of a larger one.

        The method is jitted, and may be mapped over grammars and keys by `jax.vmap`. Several
        choices share a random word, as `choices.word_layout` says; rules that have probabilities
        are chosen by a word each, as `alias` says. In a jitted function that reads the inputs
        alone nothing else is computed, and levels are skipped as `joint_rules` says, which is
        several times faster. The strings are the same to the bit on every platform; a TPU makes
        them without gathers where no table has more rows than `tables.MOST_ROWS`.

        Args:
          key: typed PRNG key.
          n: number of strings, N, static.
          first: how many strings of the key's stream are left out before these, () integer; an
            np.uint32 from 2^31 on. A key of threefry draws the same strings in one piece or many.

        Returns:
          inputs (N, d), the strings; labels (N,), their classes; and as latents for each level l
          from 0 to L the symbols (N, P_l) of its nodes, left to right; all in the smallest
          unsigned types that hold them.

        Raises:
          ValueError: n is negative, or the tables are not of the sizes of the spec.
        """
        if n < 0:
            raise ValueError(f"n={n} must be at least 0")
        self.require_tables()
        steps = [self._joint_rules(levels) for levels in joint_steps(self.spec)]

        def derive(key, first, count):
            words = choices.random_words(jax.random.fold_in(key, 0), count, self._num_words, first)
            return self._derive(steps, words)

        def at_once(key, first):
            return jax.tree.map(lambda x: x[:n], derive(key, first, max(n, 1)))

        def in_blocks(size, key, first):
            firsts = first + jnp.arange(0, n, size, jnp.uint32)
            blocks = jax.lax.map(lambda first: derive(key, first, size), firsts)
            return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:])[:n], blocks)

        blocks = {
            platform: functools.partial(in_blocks, size)
            for platform, size in _STRINGS_AT_ONCE.items()
            if size < n
        }
        first = jnp.asarray(first, jnp.uint32)
        return jax.lax.platform_dependent(key, first, **blocks, default=at_once)

    def expand(
        self, labels: Integer[Array, " N"], chosen: Sequence[Integer[Array | np.ndarray, "N _"]]
    ) -> Batch:
        """Derives strings from given choices of rules, level by level.

        Args:
          labels: (N,) classes.
          chosen: for each level l from 0 to L - 1, (N, P_l) indices of the rule of each node.

        Returns:
          The batch, of the same form as that of `sample`.

        Raises:
          ValueError: the tables are not of the sizes of the spec, there is not one choice for each
            node, or a class or choice is no integer, or known and out of range.
        """
        self.require_tables()
        require_shape("labels", labels, (None,), "give the class of each string")
        require_integers("labels", labels, self.spec.num_classes, "classes")
        for index, choice in enumerate(chosen):
            name, shape = f"choices of level {index}", (labels.shape[0], self.spec.nodes(index))
            require_shape(name, choice, shape, "give the rule of each node, (N, P)")
            require_integers(name, choice, self.spec.num_rules[index], "rules")
        level = labels[None].astype(symbol_dtype(self.spec.num_classes))
        levels = [level.T]
        for rules, choice in zip(self.rules, chosen, strict=True):
            num_rules, branching = rules.shape[1:]
            rule = level.astype(jnp.int32) * num_rules + choice.T.astype(jnp.int32)
            table = rules.reshape(-1, branching)
            children = look_up(table, rule.clip(0, table.shape[0] - 1))
            level = jnp.stack(children, axis=1).reshape(-1, level.shape[1])
            levels.append(level.T)
        return Batch(inputs=levels[-1], labels=levels[0][:, 0], latents=tuple(levels))

    def require_tables(self) -> None:
        """Refuses a grammar whose tables are not of the sizes of its spec, such as a batch of them.

        Raises:
          ValueError: a table has another shape, or holds no integers.
        """
        if len(self.rules) != self.spec.depth:
            raise ValueError(
                f"rules has {len(self.rules)} tables for depth={self.spec.depth}: give one for "
                "each level, root side first"
            )
        for level, table in enumerate(self.rules):
            name, spec = f"rules of level {level}", self.spec
            shape = spec.symbols(level), spec.num_rules[level], spec.branching[level]
            require_shape(name, table, shape, "of a batch of grammars take one, or use jax.vmap")
            require_integers(name, table, spec.symbols(level + 1), "symbols")

    def _joint_rules(self, levels: tuple[int, ...]) -> JointRules:
        rules = [self.rules[level] for level in levels]
        if self.rule_probabilities is None:
            return joint_rules(rules)
        return joint_rules(rules, [self.rule_probabilities[level] for level in levels])

    def _derive(self, steps: Sequence[JointRules], words: UInt32[Array, "W N"]) -> Batch:
        """Makes strings from (W, N) random words."""
        labels, draws = self._read(words)
        symbols, chosen = labels[None], []
        for step, draw in zip(steps, draws, strict=True):
            chosen.append(step.choose(symbols, draw))
            if step is not steps[-1]:
                symbols = step.made(symbols, chosen[-1])
        leaves = steps[-1].made_in_rows(symbols, chosen[-1])
        batch = self.expand(labels, self._split(chosen))
        return batch.replace(inputs=leaves, latents=(*batch.latents[:-1], leaves))

    @property
    def _options(self) -> tuple[int, ...]:
        """Numbers of options of the uniform choices of a string: its class, then each step's."""
        options = [self.spec.num_classes] if self.class_prior is None else []
        if self.rule_probabilities is None:
            for levels in joint_steps(self.spec):
                joint = math.prod(joint_options(self.spec, levels))
                options += [joint] * self.spec.nodes(levels[0])
        return tuple(options)

    @property
    def _num_words(self) -> int:
        """Number of random words of a string: of uniform choices, for the class, for the rules."""
        num_words = len(choices.word_layout(self._options)) + (self.class_prior is not None)
        if self.rule_probabilities is None:
            return num_words
        return num_words + sum(self.spec.nodes(levels[0]) for levels in joint_steps(self.spec))

    def _read(
        self, words: UInt32[Array, "W N"]
    ) -> tuple[Integer[Array, " N"], list[UInt32[Array, "_ N"]]]:
        """Reads labels (N,), and for each step joint choices (P_l, N) or the words to choose by."""
        draws = choices.read_choices(words, self._options)
        words = words[len(choices.word_layout(self._options)) :]
        if self.class_prior is None:
            labels, draws = draws[0], draws[1:]
        else:
            prior = alias.alias_tables(self.class_prior[None])
            labels, words = (
                alias.choose(prior, jnp.zeros(words.shape[1:], int), words[0]),
                words[1:],
            )
        if self.rule_probabilities is not None:
            draws = words
        nodes = [self.spec.nodes(levels[0]) for levels in joint_steps(self.spec)]
        labels = labels.astype(symbol_dtype(self.spec.num_classes))
        return labels, jnp.split(draws, np.cumsum(nodes)[:-1])

    def _split(self, joint: Sequence[UInt32[Array, "_ N"]]) -> list[UInt32[Array, "N _"]]:
        """Turns the joint choices of each step into what `expand` takes."""
        chosen = []
        for levels, choice in zip(joint_steps(self.spec), joint, strict=True):
            own, *below = choices.split_choices(choice, joint_options(self.spec, levels))
            chosen.append(own.T)
            if below:
                chosen.append(jnp.stack(below, axis=1).reshape(-1, choice.shape[1]).T)
        return chosen


def symbol_dtype(num_symbols: int) -> np.dtype:
    """Returns the smallest unsigned type that holds the symbols 0 to num_symbols - 1."""
    return np.min_scalar_type(num_symbols - 1)
