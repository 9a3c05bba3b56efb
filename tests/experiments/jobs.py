"""Experiments as a user runs them: a command in a process of its own."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

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
