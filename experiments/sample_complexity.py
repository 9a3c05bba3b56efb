"""How many strings a learner of random hierarchies needs, and how that grows (arXiv 2601.19756).

A sweep over grammars, learners, numbers of train strings and seeds: where each learner's error
falls below a level, beside the law n* ~ C * M^L. It can be killed at any moment, and goes on where
it was, on any number of devices; docs/scaling.md tells how it runs on many hosts.

    python -m experiments.sample_complexity

With the default sizes expect seven to nine minutes on two cores.
"""

import dataclasses

from absl import flags

from experiments import cli
from experiments.complexity_points import LEARNERS, Cell, Request, make_cells
from experiments.complexity_summary import closing_table, headline, summarize
from experiments.runs import conclude
from hierjax import Hosts, RunFolder, Sweep, seed_keys, seed_mesh

_MAX_TEST = 2**22
_MAX_MULTIPLE = 2.0**20

flags.DEFINE_list("learners", list(LEARNERS), "Which to train.")
flags.DEFINE_list("num_classes", ["8"], "Classes, C.")
flags.DEFINE_list("vocab_size", ["8"], "Symbols at each level below, V.")
flags.DEFINE_list("num_rules", ["2", "3", "4"], "Rules of each symbol, M.")
flags.DEFINE_list("branching", ["2"], "Children of each node, S.")
flags.DEFINE_list("depth", ["3", "4"], "Levels of the tree, L.")
flags.DEFINE_list("train_multiples", ["0.5", "1", "2", "4", "8"], "Train strings over C * M^L.")
flags.DEFINE_float("level", 0.1, "Error whose crossing is n*, between 0 and 1.")
flags.DEFINE_integer(
    "num_test",
    2000,
    "Test strings, none of them in the train set; a quarter of the language if that is fewer.",
    lower_bound=1,
    upper_bound=_MAX_TEST,
)
cli.define_run_flags("sample_complexity", num_seeds=3)
cli.define_host_flags()
FLAGS = flags.FLAGS


@dataclasses.dataclass
class Plan:
    """A request ready to be carried out.

    Attributes:
      request: what is asked for.
      cells: of the grid.
      hosts: that share it.
      folder: of the run, on host 0.
      sweep: of the cells that can be measured.
      done: work that an earlier run did.
    """

    request: Request
    cells: list[Cell]
    hosts: Hosts
    folder: RunFolder | None
    sweep: Sweep
    done: float


def main() -> None:
    """Runs the experiment as the flags say."""
    cli.run(__doc__, prepare, execute)


def prepare() -> Plan:
    """Checks the request, meets the other hosts, opens the folder and reads what is measured."""
    request = read_request()
    cells = make_cells(request)
    hosts = cli.meet_hosts()
    with cli.agreement(hosts, request):
        points = [cell.point() for cell in cells if not cell.obstacle]
        keys = seed_keys(request.seed, request.num_seeds)
        sweep = Sweep(points, keys, hosts, seed_mesh(FLAGS.num_devices), FLAGS.impl)
    folder, done = None, 0.0
    with cli.agreement(hosts, request):  # Before this an earlier run must not be overwritten.
        if hosts.index == 0:
            identity = dataclasses.asdict(request)
            folder = RunFolder(FLAGS.workdir, "sample_complexity", identity, FLAGS.overwrite)
            done = sweep.restore(folder)
    return Plan(request, cells, hosts, folder, sweep, done)


def read_request() -> Request:
    """The request that the flags make.

    Raises:
      ValueError: it cannot be met.
    """
    if not 0 < FLAGS.level < 1:
        raise ValueError(f"level={FLAGS.level} must be between 0 and 1")
    sizes = {
        name: cli.ascending(name, FLAGS[name].value, 1, 2**24)
        for name in ("num_classes", "vocab_size", "num_rules", "branching", "depth")
    }
    return Request(
        **sizes,
        learners=cli.some_of("learners", FLAGS.learners, LEARNERS),
        train_multiples=cli.ascending(
            "train_multiples", FLAGS.train_multiples, 1 / 64, _MAX_MULTIPLE, float
        ),
        num_test=FLAGS.num_test,
        num_seeds=FLAGS.num_seeds,
        seed=FLAGS.seed,
    )


def execute(plan: Plan) -> None:
    """Measures what is missing, chunk by chunk, and writes the result."""
    if plan.folder is None:
        plan.sweep.run()
        plan.hosts.close()
        return
    print(headline(plan.request, plan.cells, plan.folder))
    plan.folder.log("started", done=plan.done)
    with cli.Progress(round(plan.sweep.work), "units of work", plan.done) as progress:
        measured = plan.sweep.run(plan.folder, progress.advance)
    plan.hosts.close()
    num_devices = cli.num_devices() * plan.hosts.count
    summary = summarize(plan.request, plan.cells, measured, FLAGS.level) | {
        "devices": num_devices,
        "hosts": plan.hosts.count,
    }
    conclude(plan.folder, summary, "complexity_figure", closing_table(summary))


if __name__ == "__main__":
    main()
