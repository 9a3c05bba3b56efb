"""The one runner: it makes a command of a declared experiment."""

import contextlib
from pathlib import Path
from typing import Any

from experiments import cli
from hierjax.runs import LayerwiseRun, RunFolder, SweepRun, requests
from hierjax.runs.experiment import Experiment, LayerwiseExperiment

_ROOT = Path(__file__).resolve().parents[1]


def run(experiment: Experiment) -> None:
    """Runs an experiment as the command line says, and exits."""
    workdir = {"workdir": str(_ROOT / "runs" / experiment.name)}
    module = f"experiments.{experiment.name}"
    cli.ready()
    request = cli.read(experiment.doc, module, experiment.request, workdir, experiment.follows)
    with cli.preparing():
        experiment.require(request)
        kind: Any = LayerwiseRun if isinstance(experiment, LayerwiseExperiment) else SweepRun
        work = kind(experiment, request)
        identity = requests.identity(request)
        folder = RunFolder(request.workdir, experiment.name, identity, request.overwrite)
        work.restore(folder)
    with contextlib.closing(folder), cli.running(folder):
        print(f"{experiment.headline(request)}, into {folder.path}")
        if work.resumed:
            print(work.resumed)
        results = work.carry_out(folder)
        summary = experiment.summarize(request, results) | work.summary(results)
        folder.write_json("summary.json", summary)
        folder.write_figure("figure.png", experiment.figure(folder.path))
        folder.log("finished")
        print("\n".join([*work.table(results), *experiment.notes(summary)]))
        print(f"wrote summary.json and figure.png to {folder.path}")
