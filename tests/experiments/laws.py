"""What holds for every experiment: flags, help, resumption, measuring again, refusals, figures."""

import importlib
import json
import random
import re
import shutil
from collections.abc import Mapping
from typing import Any, ClassVar

import jax
import pytest

from hierjax.runs import (
    LayerwiseExperiment,
    LayerwiseRun,
    RunFolder,
    SeedsTrainer,
    SweepRequest,
    leaves,
)
from hierjax.runs.sweeps.programs import Programs
from tests.experiments import at_random, jobs

BAD_OF_ALL = {
    "--num_sedes=3": "Unknown command line flag 'num_sedes'. Did you mean: num_seeds ?",
    "stray": "unexpected argument 'stray': flags begin with --",
    "--num_seeds=0": "num_seeds=0 must be from 1 to 1048576",
    "--num_seeds=2000000": "num_seeds=2000000 must be from 1 to 1048576",
    "--num_seeds=few": "num_seeds",
    "--seed=-1": "seed=-1 must be from 0 to 4294967295",
    "--seed=1.5": "--seed=1.5",
    "--impl=vmap": "--impl=vmap: value should be one of <shard_map|pmap>",
    "--num_devices=0": "num_devices=0 is not between 1 and 8",
    "--num_devices=99": "num_devices=99 is not between 1 and 8",
    "--overwrite=perhaps": "--overwrite=perhaps",
    "--workdir=": "workdir is empty: name a file or folder",
    "--flagfile=/nowhere": "/nowhere",
}
BAD_OF_SWEEPS = {
    "--workers=0": "workers=0 must be from 1 to ",
    "--workers=2 --scheduler=tcp://host:8786": "leave out workers=2",
    "--scheduler=host": "scheduler=host must be an address as tcp://host:8786",
}


class Stopped(Exception):
    """What befalls a run under test."""


class ExperimentLaws:
    """Derive from it, and say which command at which small size.

    Attributes:
      name: of the command.
      flags: a size at which it takes seconds.
      fewer: flags that leave out learners, for a run that fails.
      bad: requests that are refused, and words of the refusal.
    """

    name: ClassVar[str]
    flags: ClassVar[tuple[str, ...]]
    fewer: ClassVar[tuple[str, ...]] = ()
    bad: ClassVar[Mapping[str, str]]

    @property
    def experiment(self) -> Any:
        return importlib.import_module(f"experiments.{self.name}").EXPERIMENT

    @property
    def is_sweep(self) -> bool:
        return not isinstance(self.experiment, LayerwiseExperiment)

    @pytest.fixture(scope="class")
    @classmethod
    def finished(cls, tmp_path_factory):
        """Folder and words of a finished run; to be read only."""
        workdir = tmp_path_factory.mktemp(cls.name) / "run"
        return workdir, jobs.succeed(cls.name, workdir, *cls.flags)

    @pytest.fixture
    def copy(self, finished, tmp_path):
        """A copy of the finished run's folder."""
        return shutil.copytree(finished[0], tmp_path / "run")

    def test_help_shows_and_explains_every_flag(self):
        shown = jobs.call(self.name, "--help")
        assert (shown.code, shown.err) == (0, "")
        assert self.experiment.doc.splitlines()[0] in shown.out
        words = " ".join(shown.out.split())
        for leaf in leaves(self.experiment.request):
            name = f"--[no]{leaf.flag}" if leaf.kind is bool else f"--{leaf.flag}"
            assert re.search(rf" {re.escape(name)}: (<\S+>: )?{leaf.help.split()[0]}", words), name
            assert not leaf.help[0].islower(), name
            assert len(leaf.help) > 10
        for spelling in ("-h", "--helpshort", "--helpfull"):
            assert jobs.call(self.name, spelling) == shown

    def test_defaults_make_a_valid_request(self):
        request = self.experiment.make_request()
        assert "\n" not in self.experiment.headline(request)
        given = {
            leaf.flag: leaf.default
            for leaf in leaves(self.experiment.request)
            if leaf.default is not None and leaf.flag not in self.followed
        }
        assert self.experiment.make_request(**given) == request

    @property
    def followed(self) -> set[str]:
        """Flags whose values follow from others."""
        tables = self.experiment.follows.values()
        return {flag for table in tables for values in table.values() for flag in values}

    def test_a_run_ends_with_all_its_files(self, finished):
        workdir, result = finished
        names = {path.name for path in workdir.iterdir()}
        assert names >= {"config.json", "metrics.jsonl", "summary.json", "figure.png"}
        assert (workdir / "figure.png").read_bytes().startswith(b"\x89PNG")
        assert result.out.endswith(f"wrote summary.json and figure.png to {workdir}\n")
        assert "nan" not in result.out.lower()
        assert jobs.events_of(workdir, "finished")
        asked = jobs.strict_json((workdir / "config.json").read_text())["request"]
        assert asked["experiment"] == self.name
        summary = jobs.summary_of(workdir)
        assert summary["num_seeds"] == asked["num_seeds"]
        assert summary["device"]

    def test_a_finished_run_measures_again_and_trains_nothing(self, copy, monkeypatch, tmp_path):
        """Its flags stand in a file this time, which is all the same."""
        forbid = lambda *_, **__: pytest.fail("something is trained")  # noqa: E731
        monkeypatch.setattr(SeedsTrainer, "fit_layer", forbid)
        monkeypatch.setattr(Programs, "measure", forbid)
        (tmp_path / "flags").write_text("\n".join(["# sizes", *self.flags, "--nooverwrite"]))
        before = jobs.summary_of(copy)
        (copy / "summary.json").unlink()
        jobs.succeed(self.name, copy, f"--flagfile={tmp_path / 'flags'}")
        assert jobs.summary_of(copy) == before

    def test_a_run_that_fails_is_taken_up_where_it_was(self, finished, monkeypatch, tmp_path):
        workdir, fits = tmp_path / "run", []
        with monkeypatch.context() as patch:
            self.fail_after_the_first(patch)
            failed = jobs.run(self.name, workdir, *self.flags, *self.fewer)
        assert failed.code == 1
        assert failed.err.startswith(f"{self.name}: Stopped: by a test")
        assert failed.err.count("\n") == 1
        assert str(workdir / "metrics.jsonl") in failed.err
        assert not (workdir / "summary.json").exists()
        (event,) = jobs.events_of(workdir, "failed")
        assert event["error"] == "by a test"
        assert "Stopped" in event["traceback"]
        kept = len(jobs.events_of(workdir, self.event))
        assert kept == 1

        count_fits(monkeypatch, fits)
        jobs.succeed(self.name, workdir, *self.flags, *self.fewer)
        whole, taken_up = (jobs.summary_of(each) for each in (finished[0], workdir))
        if self.fewer:
            whole = those_of(taken_up, whole)
        assert jobs.without_costs(taken_up) == jobs.without_costs(whole)
        events = len(jobs.events_of(workdir, self.event))
        assert self.is_sweep or len(fits) == events - kept
        assert self.fewer or events == len(jobs.events_of(finished[0], self.event))

    @property
    def event(self) -> str:
        """What is recorded of each piece of work."""
        return "chunk" if self.is_sweep else "layer"

    def fail_after_the_first(self, patch):
        log = RunFolder.log

        def log_one(folder, event, **fields):
            if event == self.event and jobs.events_of(folder.path, event):
                raise Stopped("by a test")
            log(folder, event, **fields)

        fit, fits = SeedsTrainer.fit_layer, []

        def fit_one(*args):
            if fits:
                raise Stopped("by a test")
            fits.append(args)
            return fit(*args)

        if self.is_sweep:
            patch.setattr(RunFolder, "log", log_one)
        else:
            patch.setattr(SeedsTrainer, "fit_layer", fit_one)

    def test_a_run_of_another_request_is_left_alone(self, finished):
        before = contents(finished[0])
        refused = jobs.run(self.name, finished[0], *self.flags, "--seed=1")
        assert refused.code == 2
        assert "holds a run with seed=0, not 1: choose another workdir" in refused.err
        assert refused.err.count("\n") == 1
        assert contents(finished[0]) == before

    def test_a_file_of_another_kind_is_no_workdir(self, tmp_path):
        (tmp_path / "file").write_text("")
        refused = jobs.run(self.name, tmp_path / "file", *self.flags)
        assert refused.code == 2
        assert "cannot be used" in refused.err
        assert refused.err.count("\n") == 1

    def test_bad_requests_end_in_one_line(self, tmp_path):
        bad = BAD_OF_ALL | self.bad
        if issubclass(self.experiment.request, SweepRequest):
            bad = BAD_OF_SWEEPS | bad
        for flags, words in bad.items():
            jobs.check_refused(self.name, tmp_path / "run", flags, words)

    def test_what_it_accepts_it_can_train(self):
        """Requests at random are refused in a sentence, or else all of their programs exist."""
        rng, request = random.Random(self.name), self.experiment.request
        small = at_random.values_of(request, self.flags) | {"num_devices": 1}
        accepted = 0
        while accepted < 2:
            try:
                asked = self.experiment.make_request(**small | at_random.some_values(request, rng))
                self.experiment.require(asked)
            except ValueError:
                continue
            self.trace(asked)
            accepted += 1

    def trace(self, request):
        if self.is_sweep:
            for point in self.experiment.points(request):
                draw, measure = point.draw, point.measure
                both = lambda key, draw=draw, measure=measure: measure(key, draw(key))  # noqa: E731
                jax.eval_shape(both, jax.random.key(0))
            return
        for trainer in LayerwiseRun(self.experiment, request).trainers.values():
            for index in range(trainer.num_layers):
                trainer.layout(index)

    def test_the_figure_shows_what_was_measured(self, finished):
        figure = self.experiment.figure(finished[0])
        self.check_figure(figure.axes, jobs.summary_of(finished[0]))

    def check_figure(self, axes, summary):
        raise NotImplementedError


def those_of(part, whole):
    """What a summary says of the learners that another one has."""
    if not isinstance(whole, dict):
        return whole
    return {name: those_of(part[name], each) for name, each in whole.items() if name in part}


def count_fits(patch, fits):
    fit = SeedsTrainer.fit_layer

    def counted(*args):
        fits.append(args)
        return fit(*args)

    patch.setattr(SeedsTrainer, "fit_layer", counted)


def contents(folder):
    """All files but the lock."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != ".lock")
    return {path: path.read_bytes() for path in files}


def legend_of(axis):
    return [text.get_text() for text in axis.get_legend().get_texts()]


def ticks_of(ticks):
    return [text.get_text() for text in ticks]


def lines_of(axis, colour):
    """The lines of a colour that have points."""
    return [line for line in axis.lines if line.get_color() == colour and len(line.get_xdata())]


def plain(name):
    return name.replace("_", " ")


def config_of(workdir):
    return json.loads((workdir / "config.json").read_text())["request"]
