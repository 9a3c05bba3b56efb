"""Families of tasks with many labels, from which each seed of a run draws one (arXiv 2601.00455).

A family is a config: it says what may vary, fills in what was left unset, and draws tasks.
"""

import dataclasses
from typing import Any, cast

from jaxtyping import Array, Key

from hierjax.settings import Config, setting
from hierjax.tasks.circuits import BrainDump, BrainDumpSpec, draw_brain_dump
from hierjax.tasks.label_hierarchies import REVERSIBLE, automaton, draw_reversible_hierarchy
from hierjax.tasks.label_hierarchy import LabelHierarchy
from hierjax.tasks.ptf_hierarchy import KINDS as PTF_KINDS
from hierjax.tasks.ptf_hierarchy import PTFSpec, draw_ptf_hierarchy

HIERARCHY_KINDS = (*REVERSIBLE, "ptf", "automaton")
"""Kinds of label hierarchies of which `HierarchyFamily` makes families."""

_MOST_SIZE = 2**10
_PTF = ("task", ("ptf",))
_RANDOM = ("ptf_kind", ("random",))


@dataclasses.dataclass(frozen=True, kw_only=True)
class LabelFamily(Config):
    """A family of tasks with many labels, from which each seed draws one.

    Attributes:
      kind: name of the kind of task.
      num_inputs: number of input bits, d, at each location.
      num_locations: number of locations of a ring, G; None for no locations.

    Raises:
      ValueError: an unknown name, or a number out of bounds.
    """

    kind: str
    num_inputs: int
    num_locations: int | None = setting(None, flag=False)

    @property
    def depth(self) -> int:
        """Number of levels, a field of each family."""
        raise NotImplementedError

    @property
    def labels_per_level(self) -> int:
        """Number of labels of each level at each location, a field of each family."""
        raise NotImplementedError

    def draw(self, key: Key[Array, ""]) -> LabelHierarchy | BrainDump:
        """Draws a task of the family.

        Args:
          key: typed PRNG key.

        Raises:
          ValueError: a number out of bounds.
        """
        raise NotImplementedError

    @property
    def num_labels(self) -> int:
        """Number of labels at each location, K."""
        return self.depth * self.labels_per_level

    @property
    def lattice(self) -> tuple[int, ...]:
        """Lengths of the sides of the lattice: of the ring of locations; () for none."""
        return () if self.num_locations is None else (self.num_locations,)

    @property
    def radius(self) -> int:
        """Radius of the window of locations that a level depends on."""
        return 0 if self.num_locations is None else 1

    @property
    def input_radius(self) -> int:
        """Radius of the window of locations of the input that the last level depends on."""
        return 0 if self.num_locations is None else min(self.depth, (self.num_locations - 1) // 2)

    @property
    def num_bits(self) -> int:
        """Number of bits of an input, all locations together."""
        return self.num_inputs * (self.num_locations or 1)


@dataclasses.dataclass(frozen=True)
class HierarchyFamily(LabelFamily):
    """A family of label hierarchies, from which each seed draws one.

    Attributes:
      kind: kind of the hierarchy: reversible circuits of cnot or tof gates or a mix of both, a
        cellular automaton, or random polynomial threshold functions.
      depth: number of levels of the hierarchy, r; unset: 5, for an automaton 8.
      num_inputs: number of input bits, d, for an automaton those of its ring; unset: 24, for an
        automaton 32.
      labels_per_level: number of labels of each level; unset: half as many as inputs, which is
        how many a level of gates rewrites.
      rule: number of the cellular automaton's rule; unset: 30.
      ptf_kind: kind of the polynomial threshold functions; unset: majority.
      fan_in: number of nodes that each threshold function reads; unset: 3, for "and" 2.
      degree: degree of random threshold functions, K; unset: 2.
      max_coefficient: largest coefficient of random threshold functions, M; unset: 3.
      min_share: least share of the rarer sign of a label of threshold functions; unset: 0.2.
      ptf: sizes of the threshold functions; None for other kinds.

    Raises:
      ValueError: an unknown name, or a number out of bounds.
    """

    kind: str = setting("cnot", choices=HIERARCHY_KINDS)
    depth: int = setting(None, most=_MOST_SIZE)
    num_inputs: int = setting(None, most=_MOST_SIZE)
    labels_per_level: int = setting(None, only=("task", (*REVERSIBLE, "ptf")))
    rule: int | None = setting(None, least=0, most=255, only=("task", ("automaton",)))
    ptf_kind: str | None = setting(None, choices=PTF_KINDS, only=_PTF)
    fan_in: int | None = setting(None, only=_PTF)
    degree: int | None = setting(None, only=_RANDOM)
    max_coefficient: int | None = setting(None, only=_RANDOM)
    min_share: float | None = setting(None, only=_PTF)
    ptf: PTFSpec | None = setting(None, flag=False)

    def __post_init__(self):
        super().__post_init__()
        if self.kind == "automaton":
            rule = 30 if self.rule is None else self.rule
            self.fill(rule=rule, num_locations=self.num_inputs, num_inputs=1, labels_per_level=1)
            return
        if self.labels_per_level is None:
            self.fill(labels_per_level=self.num_inputs // 2)
        if self.kind == "ptf":
            self.fill(ptf=self._ptf())

    def _ptf(self) -> PTFSpec:
        kind = self.ptf_kind or "majority"
        given: dict[str, Any] = {
            name: getattr(self, name)
            for name in ("fan_in", "degree", "max_coefficient", "min_share")
            if getattr(self, name) is not None
        }
        if kind == "and":
            given.setdefault("fan_in", 2)
        return PTFSpec(kind, self.num_inputs, self.depth, self.labels_per_level, **given)

    def draw(self, key: Key[Array, ""]) -> LabelHierarchy:
        """Draws a hierarchy of the family.

        Args:
          key: typed PRNG key; not used for an automaton, of which there is one.

        Raises:
          ValueError: a number out of bounds.
        """
        if self.ptf is not None:
            return draw_ptf_hierarchy(key, self.ptf)[0]
        if self.kind == "automaton":
            rule, num_locations = cast(int, self.rule), cast(int, self.num_locations)
            return automaton(rule, num_locations, self.depth)
        return draw_reversible_hierarchy(
            key, self.kind, self.num_inputs, self.depth, self.labels_per_level
        )


@dataclasses.dataclass(frozen=True)
class BrainDumpFamily(LabelFamily):
    """A family of circuits and votes about their gates, from which each seed draws one.

    Attributes:
      num_inputs: number of input bits of the circuit, d.
      depth: number of levels of gates of the circuit, t.
      gates_per_level: number of gates of each level; unset: as many as inputs.
      fan_in: number of inputs of each gate.
      labels_per_level: number of votes about each level; unset: two for each gate.
      votes: number of gates that vote on each label, k; odd.
      brain_dump: sizes of the circuit and of the votes.

    Raises:
      ValueError: a number out of bounds.
    """

    num_inputs: int = setting(20, most=_MOST_SIZE)
    depth: int = setting(3, most=_MOST_SIZE)
    gates_per_level: int = setting(None)
    fan_in: int = setting(2)
    labels_per_level: int = setting(None)
    votes: int = setting(3)
    kind: str = setting("brain_dump", flag=False)
    brain_dump: BrainDumpSpec = setting(None, flag=False)

    def __post_init__(self):
        super().__post_init__()
        if self.gates_per_level is None:
            self.fill(gates_per_level=self.num_inputs)
        if self.labels_per_level is None:
            self.fill(labels_per_level=2 * self.gates_per_level)
        sizes = (self.num_inputs, self.depth, self.gates_per_level, self.fan_in)
        self.fill(brain_dump=BrainDumpSpec(*sizes, self.labels_per_level, self.votes))

    def draw(self, key: Key[Array, ""]) -> BrainDump:
        """Draws a circuit of the family, and votes about its gates.

        Args:
          key: typed PRNG key.

        Raises:
          ValueError: a number out of bounds.
        """
        return draw_brain_dump(key, self.brain_dump)
