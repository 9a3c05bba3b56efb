"""Layered context-free grammars of language-model studies (arXiv 2305.13673, Appendix A.1).

Symbols of a level are rewritten into two or three symbols of the next one. Strings are long, of
different lengths, and locally ambiguous: which symbols stand above a token is told by far ones.
"""

import dataclasses
import itertools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Key

from hierjax.settings import Config, setting
from hierjax.tasks.context_free import ContextFree, context_free
from hierjax.tasks.normal_form import QUOTE, Rule

_MOST_TRIES = 512


@dataclasses.dataclass(frozen=True, kw_only=True)
class LayeredSpec(Config):
    """Sizes of a layered grammar.

    Attributes:
      num_levels: number of levels, that of the root, which has one symbol, and of the terminals
        included, 7 in the study.
      symbols_per_level: number of symbols of each level below the root.
      num_rules: numbers of rules that a symbol may have; each is as probable as another.
      num_children: numbers of symbols that a rule may make.
      neighbours_differ: whether no rule makes the same symbol twice in a row.

    Raises:
      ValueError: a number out of bounds, or a level has fewer than two tuples for each rule.
    """

    num_levels: int = setting(7, least=2, most=12)
    symbols_per_level: int = setting(3, least=1, most=64)
    num_rules: tuple[int, ...] = setting((2,), least=1, most=64)
    num_children: tuple[int, ...] = setting((2, 3), least=1, most=8)
    neighbours_differ: bool = setting(False)

    def __post_init__(self):
        super().__post_init__()
        following = self.symbols_per_level - self.neighbours_differ
        sizes = set(self.num_children)
        tuples = sum(self.symbols_per_level * following ** (size - 1) for size in sizes)
        if 2 * self.symbols_per_level * max(self.num_rules) > tuples:
            raise ValueError(
                f"symbols_per_level={self.symbols_per_level} make {tuples} tuples, not twice as "
                f"many as num_rules={max(self.num_rules)} of each symbol: lower num_rules or raise "
                "symbols_per_level"
            )

    @property
    def max_length(self) -> int:
        """Largest number of tokens of a string, the end included."""
        return max(self.num_children) ** (self.num_levels - 1) + 1


LAYERED = {
    "cfg3b": LayeredSpec(num_rules=(2,), neighbours_differ=True),
    "cfg3i": LayeredSpec(num_rules=(2,)),
    "cfg3h": LayeredSpec(num_rules=(2, 3)),
    "cfg3g": LayeredSpec(num_rules=(3,)),
    "cfg3f": LayeredSpec(num_rules=(3, 4)),
}
"""Sizes of the grammars of the study, by their names there, from the easiest to the hardest."""


def layered_grammar(
    key: Key[Array, ""], spec: LayeredSpec, max_length: int | None = None
) -> ContextFree:
    """Draws a layered grammar, none of whose rules of a level make the same.

    The published tables are other draws of this family. Not to be traced: its sizes are drawn, too.

    Args:
      key: typed PRNG key.
      spec: sizes.
      max_length: largest number of tokens of a string, see `context_free`; None for that of the
        longest.

    Raises:
      ValueError: as `context_free`; or too few of the tuples that are tried may be made.
    """
    num, last = spec.symbols_per_level, spec.num_levels - 1
    inner = [[f"S{level}_{index}" for index in range(num)] for level in range(1, last)]
    names = [["S0"], *inner, [f"{QUOTE}{index}{QUOTE}" for index in range(num)]]
    rules = []
    for level, (symbols, below) in enumerate(itertools.pairwise(names)):
        taken: set[tuple[int, ...]] = set()
        for place, symbol in enumerate(symbols):
            own = jax.random.fold_in(jax.random.fold_in(key, level), place)
            made = _tuples(own, spec, taken)
            taken.update(made)
            rights = (tuple(below[index] for index in each) for each in made)
            rules += [Rule(symbol, right, 1 / len(made)) for right in rights]
    reached = {rules[0].left}
    for rule in rules:  # Some symbols may be in no rule of the level above.
        reached |= set(rule.right) if rule.left in reached else set()
    reached_rules = [rule for rule in rules if rule.left in reached]
    return context_free(reached_rules, spec.max_length if max_length is None else max_length)


def _tuples(
    key: Key[Array, ""], spec: LayeredSpec, taken: set[tuple[int, ...]]
) -> list[tuple[int, ...]]:
    """Draws what the rules of a symbol make, all different and none of them taken."""
    number, sizes, rows = jax.random.split(key, 3)

    def below(key, shape, bound):
        return jax.random.randint(key, shape, 0, bound, jnp.int32)

    count = spec.num_rules[below(number, (), len(spec.num_rules))]
    which = below(sizes, (_MOST_TRIES,), len(spec.num_children)).tolist()
    shape = _MOST_TRIES, max(spec.num_children)
    symbols = below(rows, shape, spec.symbols_per_level).tolist()
    tried = (
        tuple(row[: spec.num_children[index]]) for index, row in zip(which, symbols, strict=True)
    )

    def allowed(each):
        repeats = any(one == other for one, other in itertools.pairwise(each))
        return each not in taken and not (spec.neighbours_differ and repeats)

    made = list(itertools.islice(filter(allowed, dict.fromkeys(tried)), count))
    if len(made) < count:
        raise ValueError(
            f"{_MOST_TRIES} tuples hold {len(made)} new ones for {count} rules of a symbol: lower "
            "num_rules or raise symbols_per_level"
        )
    return made
