"""The launcher of TPU VMs, with a command in place of gcloud that writes down what it is asked."""

import os
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "experiments" / "launch_tpu.sh"

# On the host the command of the user fails.
GCLOUD = """#!/bin/sh
echo "$4 $*" | head -n 1 >> "$CALLS"
case "$*" in
    *describe*) printf "$ADDRESSES" ;;
    *run_this*) exit 3 ;;
esac
"""


@pytest.fixture
def launch(tmp_path):
    gcloud, calls = tmp_path / "gcloud", tmp_path / "calls"
    gcloud.write_text(GCLOUD)
    gcloud.chmod(0o755)

    def call(addresses, *command):
        path = f"{tmp_path}:{os.environ['PATH']}"
        told = {"PATH": path, "CALLS": str(calls), "ADDRESSES": addresses}
        told |= {"NAME": "tpu", "ZONE": "here", "REPO": "https://somewhere/h"}
        result = subprocess.run(
            [SCRIPT, *command], env=told, cwd=tmp_path, capture_output=True, text=True, timeout=60
        )
        return result, [line.split()[0] for line in calls.read_text().splitlines()]

    return call


def test_one_host_runs_the_command_and_its_folders_come_back(launch):
    result, calls = launch("10.0.0.1\\n", "run_this", "--level", "0.1")
    assert result.returncode == 3
    assert calls == ["describe", "ssh", "ssh", "scp"]


def test_several_hosts_are_refused_in_one_line(launch):
    result, calls = launch("10.0.0.1\\n10.0.0.2\\n", "run_this")
    assert result.returncode == 2
    assert result.stderr == (
        "launch_tpu.sh: tpu is a slice of 2 hosts, but only one is supported: choose a TPU VM of "
        "one host\n"
    )
    assert calls == ["describe"]
