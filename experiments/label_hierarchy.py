"""A residual network climbs an unknown hierarchy of labels, block by block (arXiv 2601.00455).

Every example comes with all its labels, and not with their levels. Blocks are trained one at a
time on fresh examples, each on all labels; block k learns level k once level k - 1 stands in the
stream. Accuracies of all levels are measured after each block on fresh inputs.

    python -m experiments.label_hierarchy
    python -m experiments.label_hierarchy --task automaton --depth 16

With the default sizes (cnot, 24 inputs, 5 levels of 12 labels) expect accuracy 1.000 of level k
after block k, where chance is 0.5, in two and a half minutes on two cores; the other learners take
most of them.
"""

import dataclasses
import functools

import jax
import numpy as np

from experiments import labels
from experiments.runner import run
from hierjax.runs import map_seeds, nested, seed_keys
from hierjax.settings import Config, setting
from hierjax.tasks import (
    PTF_KINDS,
    REVERSIBLE,
    LabelHierarchy,
    PTFSpec,
    automaton,
    draw_ptf_hierarchy,
    draw_reversible_hierarchy,
    require_balanced,
)

_PTF = ("task", ("ptf",))
_RANDOM = ("ptf_kind", ("random",))


def _threshold_task(passes: int, loss: str = "squared_hinge") -> dict:
    sizes = {"depth": 5, "num_inputs": 24, "examples_per_unit": 8.0, "extra_blocks": 0}
    return sizes | {"loss": loss, "passes": passes, "batch_size": 256}


BY_TASK = {
    "cnot": _threshold_task(4, "square") | {"examples_per_unit": 2.5},
    "tof": _threshold_task(4),
    "mix": _threshold_task(4),
    "ptf": _threshold_task(4),
    "automaton": {
        "depth": 8,
        "num_inputs": 32,
        "examples_per_unit": 40.0,
        "extra_blocks": 2,
        "loss": "hinge",
        "passes": 2,
        "batch_size": 64,
    },
}
"""What follows from the task where a flag is not given."""


@dataclasses.dataclass(frozen=True)
class Task(Config):
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
      num_locations: locations of the ring of an automaton.
      ptf: sizes of the threshold functions.
    """

    kind: str = setting("cnot", choices=tuple(BY_TASK))
    depth: int | None = setting(None, most=labels.MAX_SIZE)
    num_inputs: int | None = setting(None, most=labels.MAX_SIZE)
    labels_per_level: int | None = setting(None, only=("task", (*REVERSIBLE, "ptf")))
    rule: int | None = setting(None, least=0, most=255, only=("task", ("automaton",)))
    ptf_kind: str | None = setting(None, choices=PTF_KINDS, only=_PTF)
    fan_in: int | None = setting(None, only=_PTF)
    degree: int | None = setting(None, only=_RANDOM)
    max_coefficient: int | None = setting(None, only=_RANDOM)
    min_share: float | None = setting(None, only=_PTF)
    num_locations: int | None = setting(None, flag=False)
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


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request(labels.Request):
    """What is asked for; its fields are the flags.

    Attributes:
      task: the family of hierarchies.
    """

    task: Task = nested(Task, names={"kind": "task"})


def require(request: Request) -> None:
    """Refuses tasks of which a seed draws labels that are nearly constant.

    Raises:
      ValueError: a label is.
    """
    if request.task.ptf is not None:
        keys = jax.vmap(labels.task_key)(seed_keys(request.seed, request.num_seeds))
        shares = map_seeds(lambda key: draw_ptf_hierarchy(key, request.task.ptf)[1])(keys)
        require_balanced(np.asarray(shares), request.task.ptf.min_share)


EXPERIMENT = labels.experiment(
    name="label_hierarchy",
    doc=__doc__,
    request=Request,
    follows={"task": BY_TASK, "solver": {"ridge": {"loss": "square"}}},
    require=require,
    summarize=labels.summarize,
)
main = functools.partial(run, EXPERIMENT)

if __name__ == "__main__":
    main()
