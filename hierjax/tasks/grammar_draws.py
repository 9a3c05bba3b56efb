"""How the grammars of a run are drawn: what may vary between grammars of the same sizes."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from hierjax.settings import Config, setting
from hierjax.tasks.grammars import (
    RULE_DRAWS,
    check_latin_square,
    check_rule_draw,
    draw_random_hierarchy,
    latin_square_top,
)
from hierjax.tasks.random_hierarchy import RandomHierarchy, RandomHierarchySpec
from hierjax.tasks.sparse_rules import sparse_spec, spread_children

TOP_RULES = ("random", "latin_square")
"""Rules that the root may have, see `GrammarDraw`."""

_STREAM_OF_SPREAD = 1000
_MOST_EXPONENT = 16
_MOST_NULL = 16


@dataclasses.dataclass(frozen=True, kw_only=True)
class GrammarDraw(Config):
    """How the grammar of each seed is drawn, given its sizes.

    Attributes:
      top_rule: rules of the root; latin_square hides the class from every single patch, so that
        no layerwise learner can learn it (a control).
      rule_draw: how the rules of each level are drawn: among all tuples, or so that every symbol is
        the first child of as many rules (arXiv 2601.19756, Proposition 19).
      shared_rules: whether levels of the same sizes have the same rules.
      ambiguous: draw tuples with replacement, so that symbols may share them, and a string may have
        several trees and classes.
      zipf: exponents a of rules whose probabilities fall as k^-(1+a), k from 1 to M, one for all
        levels, or one for each, root side first (arXiv 2505.07067); -1 for equal ones.
      rule_spread: standard deviation of the normal numbers whose softmax makes the probabilities of
        the rules of a symbol; 0 for equal ones.
      class_prior: probabilities of the classes, which sum to one; unset: equal ones.
      num_null: number of null symbols beside each child, s0, among which it stands anywhere (arXiv
        2404.10727).

    Raises:
      ValueError: a value is not allowed, or rules are to be unequal in two ways.
    """

    top_rule: str = setting("random", choices=TOP_RULES)
    rule_draw: str = setting("uniform", choices=RULE_DRAWS)
    shared_rules: bool = setting(False)
    ambiguous: bool = setting(False)
    zipf: tuple[float, ...] | None = setting(None, least=-1, most=_MOST_EXPONENT)
    rule_spread: float = setting(0.0, least=0, most=20)
    class_prior: tuple[float, ...] | None = setting(None, least=0, most=1)
    num_null: int = setting(0, least=0, most=_MOST_NULL)

    def __post_init__(self):
        super().__post_init__()
        if self.zipf is not None and self.rule_spread:
            raise ValueError(
                f"zipf={','.join(map(str, self.zipf))} and rule_spread={self.rule_spread} both say "
                "how unequal rules are: give one"
            )

    def check(self, spec: RandomHierarchySpec) -> None:
        """Refuses sizes of which no such grammar can be drawn.

        Args:
          spec: sizes of the grammars, without nulls.

        Raises:
          ValueError: the sizes do not allow the top rule, the draw of the rules, or that children
            are spread; or there are not as many exponents as levels or probabilities as classes.
        """
        if self.top_rule == "latin_square":
            check_latin_square(spec)
        for name, given, what, number in (
            ("zipf", self.zipf, "levels", spec.depth),
            ("class_prior", self.class_prior, "classes", spec.num_classes),
        ):
            single = name == "zipf" and len(given or ()) == 1
            if given is not None and not single and len(given) != number:
                raise ValueError(
                    f"{name} lists {len(given)} numbers for {number} {what}: give one for each"
                )
        if self.class_prior is not None and abs(sum(self.class_prior) - 1) > 1e-4:
            raise ValueError(f"class_prior must sum to one, but sums to {sum(self.class_prior):g}")
        if self.top_rule == "latin_square" and self._unequal:
            raise ValueError(
                "top_rule=latin_square needs equal rules: leave out zipf and rule_spread"
            )
        check_rule_draw(self._of_tuples(spec), self.rule_draw)
        self.seen(spec)

    def seen(self, spec: RandomHierarchySpec) -> RandomHierarchySpec:
        """Returns the sizes of the grammars that are drawn: with nulls, if there are any.

        Args:
          spec: sizes of the grammars, without nulls.

        Raises:
          ValueError: the sizes are beyond what can be held.
        """
        return sparse_spec(self._of_tuples(spec), self.num_null)

    def draw(self, key: Key[Array, ""], spec: RandomHierarchySpec) -> RandomHierarchy:
        """Draws a grammar; pure, and maps over keys.

        Args:
          key: typed PRNG key.
          spec: sizes of the grammar, without nulls.

        Returns:
          The grammar, of the sizes that `seen` returns.

        Raises:
          ValueError: as `check`.
        """
        self.check(spec)
        sizes, probabilities = self._of_tuples(spec), self._probabilities(key, spec)
        prior = None if self.class_prior is None else jnp.array(self.class_prior)
        grammar = draw_random_hierarchy(
            key, sizes, probabilities, prior, self.rule_draw, self.shared_rules
        )
        if self.top_rule == "latin_square":
            grammar = latin_square_top(grammar)
        return spread_children(grammar, self.num_null)

    @property
    def equiprobable(self) -> bool:
        """Whether all strings of a grammar have the same probability."""
        return not (self._unequal or self.class_prior or self.ambiguous)

    def chance_error(self, spec: RandomHierarchySpec) -> float:
        """Returns the error of who knows how frequent classes are, and nothing else.

        Args:
          spec: sizes of the grammars.
        """
        return 1 - max(self.class_prior or (1 / spec.num_classes,))

    @property
    def _unequal(self) -> bool:
        return bool(self.rule_spread) or any(a != -1 for a in self.zipf or ())

    def _of_tuples(self, spec: RandomHierarchySpec) -> RandomHierarchySpec:
        return dataclasses.replace(spec, ambiguous=spec.ambiguous or self.ambiguous)

    def _probabilities(
        self, key: Key[Array, ""], spec: RandomHierarchySpec
    ) -> tuple[Float[Array, "V M"], ...] | None:
        if not self._unequal:
            return None
        key = jax.random.fold_in(key, _STREAM_OF_SPREAD)
        exponents: Any = self.zipf or (-1.0,)
        exponents = exponents * spec.depth if len(exponents) == 1 else exponents
        tables = []
        for level, (num_rules, exponent) in enumerate(zip(spec.num_rules, exponents, strict=True)):
            shape = spec.symbols(level), num_rules
            logs = -(1 + exponent) * jnp.log(jnp.arange(1.0, num_rules + 1))
            normal = jax.random.normal(jax.random.fold_in(key, level), shape)
            tables.append(jax.nn.softmax(logs[None] + self.rule_spread * normal))
        return tuple(tables)


PLAIN = GrammarDraw()
"""All tuples alike, none shared, all rules and classes equal."""
