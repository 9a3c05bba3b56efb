"""The one runner: it makes a command of a declared experiment."""

import contextlib
from pathlib import Path
from typing import Any

from experiments.command import cli, process
from hierjax.runs import (
    PINNED,
    LayerwiseRun,
    RunFolder,
    SweepRun,
    hosts,
    requests,
    require_trackers,
    under,
    xla_flags,
)
from hierjax.runs.conditions import conditions
from hierjax.runs.experiment import Experiment, LayerwiseExperiment

ROOT = Path(__file__).resolve().parents[1]


def run(experiment: Experiment) -> None:
    """Runs an experiment as the command line says, and exits."""
    process.guard()
    cli.ready()
    workdir = {"workdir": str(ROOT / "runs" / experiment.name)}
    module = f"experiments.{experiment.name}"
    with contextlib.ExitStack() as stack:
        stack.enter_context(under(PINNED))
        request, overruled = cli.read(
            experiment.doc, module, experiment.request, workdir, experiment.follows
        )
        cli.require_devices()
        stack.enter_context(cli.preparing())
        hosts.require_same(requests.identity(request) | conditions())
        stack.enter_context(under(experiment.options(request)))
        kind: Any = LayerwiseRun if isinstance(experiment, LayerwiseExperiment) else SweepRun
        with hosts.together():
            experiment.require(request)
            require_trackers(request.log_to or ())
            work = kind(experiment, request)
        identity = requests.identity(request)
        folder = RunFolder(request.workdir, experiment.name, identity, request.overwrite)
        stack.enter_context(contextlib.closing(folder))
        folder.report_to(request.log_to or ())
        work.restore(folder)
        stack.enter_context(cli.running(folder))
        print("\n".join([f"{experiment.headline(request)}, into {folder.name}", *overruled]))
        if xla_flags():
            print(f"XLA_FLAGS={xla_flags()}: numbers may be others than without these flags")
        if work.resumed:
            print(work.resumed)
        results = work.carry_out(folder)
        summary = experiment.summarize(request, results) | work.summary(results)
        try:
            folder.write_json("summary.json", summary)
        finally:  # A full disk takes no result away.
            print("\n".join([*work.table(results), *experiment.notes(summary)]))
        with hosts.together():
            if hosts.is_first():
                _draw(experiment, folder, results)
        folder.log("finished")
        print(f"wrote summary.json and figure.png to {folder.name}")


def _draw(experiment: Experiment, folder: RunFolder, results: Any) -> None:
    try:
        experiment.save(folder, results)
        folder.write_figure("figure.png", experiment.figure(folder.path))
    except Exception as error:
        raise OSError(
            f"figure.png cannot be drawn ({process.cause(error)}), but summary.json has the result"
        ) from error
