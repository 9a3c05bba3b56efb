"""Families of tasks with many labels, from which each seed of a run draws one (arXiv 2601.00455).

A family is a config: it says what may vary, fills in what was left unset, and draws tasks.
"""

import dataclasses

import jax

from hierjax.settings import Config, setting
from hierjax.tasks.circuits import BrainDump, BrainDumpSpec, draw_brain_dump
from hierjax.tasks.label_hierarchies import REVERSIBLE, automaton, draw_reversible_hierarchy
from hierjax.tasks.label_hierarchy import LabelHierarchy
from hierjax.tasks.ptf_hierarchy import KINDS as PTF_KINDS
from hierjax.tasks.ptf_hierarchy import PTFSpec, draw_ptf_hierarchy

HIERARCHY_KINDS = (*REVERSIBLE, "ptf", "automaton")
"""Kinds of label hierarchies."""

_MOST_SIZE = 2**10
_PTF = ("task", ("ptf",))
_RANDOM = ("ptf_kind", ("random",))


@dataclasses.dataclass(frozen=True, kw_only=True)
class LabelFamily(Config):
    """A family of tasks, from which each seed draws one;

    It has the fields depth and labels_per_level, too, and the method draw(key).

    Attributes:
      kind: what the task is called.
      num_inputs: number of input bits, d, at each location.
      num_locations: locations of a ring; None for no locations.
    """

    kind: str
    num_inputs: int
    num_locations: int | None = setting(None, flag=False)

    @property
    def num_labels(self) -> int:
        """Labels at each location, K."""
        return self.depth * self.labels_per_level

    @property
    def lattice(self) -> tuple[int, ...]:
        """Sides of the ring of locations; () for none."""
        return () if self.num_locations is None else (self.num_locations,)

    @property
    def radius(self) -> int:
        """Radius of the window that a level depends on."""
        return 0 if self.num_locations is None else 1

    @property
    def input_radius(self) -> int:
        """Radius of the window of the input that the last level depends on, within the ring."""
        return 0 if self.num_locations is None else min(self.depth, (self.num_locations - 1) // 2)

    @property
    def num_bits(self) -> int:
        """Bits of an input, all locations together."""
        return self.num_inputs * (self.num_locations or 1)


@dataclasses.dataclass(frozen=True)
class HierarchyFamily(LabelFamily):
    """A family of hierarchies, from which each seed draws one.

    Attributes:
      kind: kind of the hierarchy: reversible circuits of cnot or tof gates or a mix of both, a
        cellular automaton, or random polynomial threshold functions.
      depth: number of levels, r; unset: 5, of an automaton 8.
      num_inputs: number of input bits, d; unset: 24. Of an automaton its ring; unset: 32.
      labels_per_level: labels of each level; unset: half as many as inputs, which is how many
        are rewritten.
      rule: number of the cellular automaton's rule; unset: 30.
      ptf_kind: kind of the threshold functions of --task ptf; unset: majority.
      fan_in: nodes that each threshold function reads; unset: 3, of "and" 2.
      degree: degree of random threshold functions, K; unset: 2.
      max_coefficient: largest coefficient of random threshold functions, M; unset: 3.
      min_share: least share of the rarer sign of a label of --task ptf; unset: 0.2.
      ptf: sizes of the threshold functions.
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
        given = {
            name: getattr(self, name)
            for name in ("fan_in", "degree", "max_coefficient", "min_share")
            if getattr(self, name) is not None
        }
        fan_in = {"fan_in": 2} if kind == "and" else {}
        return PTFSpec(kind, self.num_inputs, self.depth, self.labels_per_level, **(fan_in | given))

    def draw(self, key: jax.Array) -> LabelHierarchy:
        """A task of the family.

        Raises:
          ValueError: a number out of bounds.
        """
        if self.ptf is not None:
            return draw_ptf_hierarchy(key, self.ptf)[0]
        if self.kind == "automaton":
            return automaton(self.rule, self.num_locations, self.depth)
        return draw_reversible_hierarchy(
            key, self.kind, self.num_inputs, self.depth, self.labels_per_level
        )


@dataclasses.dataclass(frozen=True)
class BrainDumpFamily(LabelFamily):
    """A family of circuits and votes about them, from which each seed draws one.

    Attributes:
      num_inputs: number of input bits, d.
      depth: number of levels of gates, t.
      gates_per_level: gates of each level; unset: as many as inputs.
      fan_in: inputs of each gate.
      labels_per_level: votes about each level; unset: two for each gate.
      votes: gates that vote on each label, k; odd.
      brain_dump: sizes of the circuit and of the votes.
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

    def draw(self, key: jax.Array) -> BrainDump:
        """A circuit of the family, and votes.

        Raises:
          ValueError: a number out of bounds.
        """
        return draw_brain_dump(key, self.brain_dump)
