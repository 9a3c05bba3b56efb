"""Experiments as a user runs them: a command in a process of its own."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

_TRY_ALL = """
import contextlib, importlib, io, json, sys
from absl.testing import flagsaver
name, requests, workdir = sys.argv[1:]
experiment = importlib.import_module("experiments." + name)
results = []
for flags in json.loads(requests):
    sys.argv = [name + ".py", "--workdir=" + workdir, *flags.split()]
    out, err = io.StringIO(), io.StringIO()
    with flagsaver.flagsaver(), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            experiment.main()
        except SystemExit as exit_:
            results.append((exit_.code, out.getvalue(), err.getvalue()))
print(json.dumps(results))
"""

ROOT = Path(__file__).resolve().parents[2]


def command(experiment, workdir, *flags):
    return [sys.executable, "-m", f"experiments.{experiment}", f"--workdir={workdir}", *flags]


def run(experiment, workdir, *flags, env=None):
    return subprocess.run(
        command(experiment, workdir, *flags),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        env=env,
    )


def summary_of(workdir):
    return json.loads((workdir / "summary.json").read_text())


def check_refusals(experiment, workdir, requests):
    """Asserts that every request (flags -> words) ends in one line with its words, and exit code
    2; all in one process, most of whose time goes into its start."""
    driver = [sys.executable, "-c", _TRY_ALL, experiment, json.dumps(list(requests)), str(workdir)]
    result = subprocess.run(driver, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr
    for words, (code, out, err) in zip(requests.values(), json.loads(result.stdout), strict=True):
        assert (code, out) == (2, ""), err
        assert words in err, err
        assert err.startswith(f"{experiment}: ")
        assert err.count("\n") == 1
    assert not workdir.exists()


def kill_when(awaited, command, env=None):
    """Kills a command as soon as a file of it is there."""
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=env
    )
    deadline = time.monotonic() + 100
    while not awaited.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.002)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert awaited.exists()
