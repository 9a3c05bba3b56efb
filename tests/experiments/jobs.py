"""Commands under test: in this process, or in one of their own where a process is the point."""

import contextlib
import gc
import importlib
import io
import json
import logging
import os
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path
from typing import NamedTuple
from unittest import mock

import jax

from experiments.command import process
from hierjax.runs import STRING_LEARNERS, LayerwiseRun, SweepRun

ROOT = Path(__file__).resolve().parents[2]


class Finished(NamedTuple):
    """What a command came to."""

    code: int
    out: str
    err: str


def run(experiment, workdir, *flags):
    """Runs a command in this process, on one device unless the flags say otherwise."""
    if not any(flag.startswith("--num_devices") for flag in flags):
        flags = ("--num_devices=1", *flags)
    return call(experiment, f"--workdir={workdir}", *flags)


def call(experiment, *arguments):
    """Calls the main function of a command, of whose doings to the whole process none is left."""
    module = experiment if "." in experiment else f"experiments.{experiment}"
    main = importlib.import_module(module).main
    argv, out, err = [f"{module.rpartition('.')[2]}.py", *arguments], io.StringIO(), io.StringIO()
    code = 0
    with (
        _as_it_was(),
        mock.patch.object(sys, "argv", argv),
        mock.patch.dict(os.environ, JAX_NUM_CPU_DEVICES=str(jax.device_count())),
        mock.patch.object(os, "_exit", sys.exit),
        mock.patch.object(process, "guard"),
        mock.patch.object(gc, "freeze"),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            main()
        except SystemExit as end:
            code = end.code
    return Finished(code, out.getvalue(), err.getvalue())


@contextlib.contextmanager
def only_learners(*names):
    """Within it these are all learners of strings that there are."""
    before = dict(STRING_LEARNERS)
    try:
        for name in before.keys() - set(names):
            del STRING_LEARNERS[name]
        yield
    finally:
        STRING_LEARNERS.clear()
        STRING_LEARNERS.update(before)


@contextlib.contextmanager
def _as_it_was():
    logs, hook = logging.root.manager.disable, sys.unraisablehook
    try:
        with warnings.catch_warnings():
            yield
    finally:
        logging.disable(logs)
        sys.unraisablehook = hook


def succeed(experiment, workdir, *flags):
    """Runs a command, and asserts that it succeeds without a word on stderr."""
    finished = run(experiment, workdir, *flags)
    assert (finished.code, finished.err) == (0, "")
    return finished


def command(experiment, workdir, *flags):
    return [sys.executable, "-m", f"experiments.{experiment}", f"--workdir={workdir}", *flags]


def environment(**options):
    """Of a command in a process of its own, which finds the programs that this one has compiled."""
    return os.environ | {"JAX_NUM_CPU_DEVICES": str(jax.device_count())} | options


def spawn(experiment, workdir, *flags, **options):
    """Runs a command in a process of its own, with these options in its environment."""
    arguments, env = command(experiment, workdir, *flags), environment(**options)
    done = subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, env=env, check=False)
    return Finished(done.returncode, done.stdout, done.stderr)


def kill_when(is_time, arguments):
    """Kills a command as soon as it is time."""
    process = subprocess.Popen(
        arguments,
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=environment(),
    )
    while not is_time() and process.poll() is None:
        time.sleep(0.002)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL


def strict_json(text):
    """JSON as other languages read it: without NaN and Infinity."""

    def refuse(constant):
        raise ValueError(f"{constant} is no JSON")

    return json.loads(text, parse_constant=refuse)


def summary_of(workdir):
    return strict_json((workdir / "summary.json").read_text())


def events_of(workdir, event):
    lines = (workdir / "metrics.jsonl").read_text().splitlines()
    return [each for each in map(strict_json, lines) if each["event"] == event]


def without_costs(content):
    """A summary without what depends on the machine and its mood."""
    if isinstance(content, list):
        return [without_costs(each) for each in content]
    if not isinstance(content, dict):
        return content
    costs = ("seconds", "programs_compiled")
    return {name: without_costs(each) for name, each in content.items() if name not in costs}


def check_refused(experiment, workdir, flags, words):
    """Asserts that a request ends in one line with these words and exit code 2, and that nothing
    is written."""
    with (
        mock.patch.object(LayerwiseRun, "carry_out", side_effect=AssertionError),
        mock.patch.object(SweepRun, "carry_out", side_effect=AssertionError),
    ):
        finished = call(experiment, f"--workdir={workdir}", *flags.split())
    assert (finished.code, finished.out) == (2, ""), finished
    assert words in finished.err
    assert finished.err.startswith(f"{experiment}: ")
    assert finished.err.count("\n") == 1
    assert not workdir.exists()
