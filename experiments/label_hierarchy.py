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
from hierjax.runs import map_seeds, nested, seed_keys, task_key
from hierjax.tasks import HierarchyFamily, draw_ptf_hierarchy, require_balanced


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


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request(labels.Request):
    """What is asked for; its fields are the flags.

    Attributes:
      task: the family of hierarchies.
    """

    task: HierarchyFamily = nested(HierarchyFamily, names={"kind": "task"})


def require(request: Request) -> None:
    """Refuses tasks of which a seed draws labels that are nearly constant."""
    if request.task.ptf is not None:
        keys = jax.vmap(task_key)(seed_keys(request.seed, request.num_seeds))
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
