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

from absl import flags

from experiments import cli, label_flags
from experiments.label_flags import Defaults
from experiments.label_request import TaskRequest
from hierjax import PTFSpec
from hierjax.tasks.label_hierarchies import REVERSIBLE
from hierjax.tasks.ptf_hierarchy import KINDS

_DEFAULTS = {
    "cnot": Defaults(2.5, 0, "square", 4, 256),
    "tof": Defaults(8, 0, "squared_hinge", 4, 256),
    "mix": Defaults(8, 0, "squared_hinge", 4, 256),
    "ptf": Defaults(8, 0, "squared_hinge", 4, 256),
    "automaton": Defaults(40, 2, "hinge", 2, 64),
}
_DEPTH = {"automaton": 8}
_NUM_INPUTS = {"automaton": 32}
_FAN_IN = {"and": 2}

flags.DEFINE_enum("task", "cnot", list(_DEFAULTS), "Kind of hierarchy.")
flags.DEFINE_integer("depth", None, "Levels, r; unset: 5, automaton 8.")
flags.DEFINE_integer("num_inputs", None, "Input bits, d; unset: 24. Automaton: ring, unset: 32.")
flags.DEFINE_integer("labels_per_level", None, "Unset: d/2, as many as are rewritten.")
flags.DEFINE_integer("rule", 30, "Of the automaton.", lower_bound=0, upper_bound=255)
flags.DEFINE_enum("ptf_kind", "majority", KINDS, "Of the threshold functions of --task ptf.")
flags.DEFINE_integer("fan_in", None, "Nodes that each of them reads; unset: 3, 2 for and.")
flags.DEFINE_integer("degree", 2, "Of random ones, K.")
flags.DEFINE_integer("max_coefficient", 3, "Of random ones, M.")
flags.DEFINE_float("min_share", 0.2, "Least share of a label's rarer sign.")
cli.define_run_flags("label_hierarchy", num_seeds=3)
FLAGS = flags.FLAGS


def main() -> None:
    """Runs the experiment as the flags say."""
    cli.run(__doc__, prepare, label_flags.execute)


def prepare() -> label_flags.Plan:
    """Checks the request and opens its folder."""
    request = label_flags.read_request(read_task(), _DEFAULTS[FLAGS.task])
    return label_flags.prepare("label_hierarchy", request)


def read_task() -> TaskRequest:
    """The task that the flags make.

    Raises:
      ValueError: there is none.
    """
    kind = FLAGS.task
    depth = _DEPTH.get(kind, 5) if FLAGS.depth is None else FLAGS.depth
    size = _NUM_INPUTS.get(kind, 24) if FLAGS.num_inputs is None else FLAGS.num_inputs
    _refuse_flags_of_other_tasks(kind)
    if kind == "automaton":
        task = TaskRequest(kind, 1, depth, 1, rule=FLAGS.rule, num_locations=size)
    else:
        labels = size // 2 if FLAGS.labels_per_level is None else FLAGS.labels_per_level
        ptf = None
        if kind == "ptf":
            ptf = PTFSpec(
                kind=FLAGS.ptf_kind,
                num_inputs=size,
                depth=depth,
                labels_per_level=labels,
                fan_in=_FAN_IN.get(FLAGS.ptf_kind, 3) if FLAGS.fan_in is None else FLAGS.fan_in,
                degree=FLAGS.degree,
                max_coefficient=FLAGS.max_coefficient,
                min_share=FLAGS.min_share,
            )
        task = TaskRequest(kind, size, depth, labels, ptf=ptf)
    return task


def _refuse_flags_of_other_tasks(kind: str) -> None:
    owners = {
        "rule": ("automaton",),
        "labels_per_level": (*REVERSIBLE, "ptf"),
        **dict.fromkeys(("ptf_kind", "fan_in", "degree", "max_coefficient", "min_share"), ("ptf",)),
    }
    for name, tasks in owners.items():
        if FLAGS[name].present and kind not in tasks:
            raise ValueError(f"--{name} is for --task {' or '.join(tasks)}, not {kind}: drop it")
    for name in ("degree", "max_coefficient"):
        if FLAGS[name].present and FLAGS.ptf_kind != "random":
            raise ValueError(f"--{name} is for --ptf_kind random, not {FLAGS.ptf_kind}: drop it")


if __name__ == "__main__":
    main()
