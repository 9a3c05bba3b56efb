"""What requests of experiments on random hierarchies have in common: how grammars are drawn."""

import dataclasses

from hierjax.runs.requests import nested
from hierjax.settings import Config, setting
from hierjax.tasks import GrammarDraw, RandomHierarchySpec


@dataclasses.dataclass(frozen=True, kw_only=True)
class GrammarSettings(Config):
    """How the grammars of a run are drawn; requests of experiments derive from it, and set `spec`.

    Attributes:
      spec: sizes of the grammars, without null symbols.
      grammar: how the grammar of each seed is drawn, given its sizes.

    Raises:
      ValueError: a value is not allowed, or the sizes do not allow such a grammar.
    """

    spec: RandomHierarchySpec = setting()
    grammar: GrammarDraw = nested(GrammarDraw)

    def __post_init__(self):
        super().__post_init__()
        self.grammar.check(self.spec)

    @property
    def seen(self) -> RandomHierarchySpec:
        """Sizes of the grammars as learners see them."""
        return self.grammar.seen(self.spec)
