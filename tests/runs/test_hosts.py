"""Several processes that run one program: two on this machine, as two hosts would."""

import json
import signal
import socket
import subprocess
import sys
import time

import jax
import numpy as np
import pytest

from hierjax.runs import LayerCheckpoints, hosts
from tests.experiments import jobs
from tests.runs import hosts_job

FLAGS = (
    "--num_seeds=3",
    "--nobaselines",
    "--depth=2",
    "--num_rules=3",
    "--num_train=100",
    "--num_test=32",
    "--solver=adam",
)


def free_port():
    with socket.socket() as listener:
        listener.bind(("localhost", 0))
        return listener.getsockname()[1]


def start(arguments_of, count, devices):
    """Starts processes on this machine, each of which has so many devices."""
    env = jobs.environment(JAX_NUM_CPU_DEVICES=str(devices), JAX_PLATFORMS="cpu")
    return [
        subprocess.Popen(
            arguments_of(process),
            cwd=jobs.ROOT,
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for process in range(count)
    ]


def command(workdir, port):
    def arguments_of(process):
        others = f"--coordinator=localhost:{port} --num_processes=2 --process_id={process}"
        return jobs.command("layerwise_rhm", workdir, *FLAGS, *others.split())

    return arguments_of


@pytest.fixture(scope="module")
def seen(tmp_path_factory):
    """What two processes of two devices each have seen, and their folder."""
    folder, port = tmp_path_factory.mktemp("hosts"), free_port()
    script = [sys.executable, "-m", "tests.runs.hosts_job", str(port), "2"]
    processes = start(lambda process: [*script, str(process), str(folder)], 2, 2)
    ends = [(*process.communicate(timeout=300), process.returncode) for process in processes]
    assert [code for *_, code in ends] == [0, 0], ends
    return [json.loads((folder / f"{i}.json").read_text()) for i in range(2)], folder


def test_all_processes_see_the_same(seen):
    (first, second), _ = seen
    assert first == second
    assert (first["processes"], first["devices"]) == (2, 4)
    assert first["from_first"] == 0
    assert first["from_all"] == [{"number": 0}, {"number": 1}]
    assert first["any_of"] == [True, False]


def test_seeds_on_the_devices_of_all_processes_are_those_of_one(seen):
    (first, _), _ = seen
    np.testing.assert_array_equal(
        np.float32(first["seeds"]), hosts_job.numbers_of_seeds(), strict=True
    )


def test_what_fails_in_one_process_fails_in_all(seen):
    (first, _), _ = seen
    assert first["second"] == "TogetherError: process 1: the second has failed"
    assert first["first"].startswith("TogetherError: ZeroDivisionError(")
    assert first["same"] == ""
    assert first["other"] == (
        "TogetherError: process 1 has number=1, and process 0 has 0: give all processes the same "
        "flags, code and versions"
    )


def test_what_several_processes_cannot_do_is_refused(seen):
    (first, _), _ = seen
    assert "num_devices=1, but the 2 processes have 4" in first["one_device"]
    assert "impl=pmap divides seeds between the devices of one process" in first["pmap"]


def test_the_first_process_owns_the_run_folder(seen):
    (first, _), folder = seen
    assert first["folder"]["events"] == [1]
    assert "of_1 is another folder than that of process 0" in first["folder"]["other"]
    assert "cannot be written" in first["folder"]["full"]
    assert len((folder / "run" / "metrics.jsonl").read_text().splitlines()) == 1


def test_one_process_reads_what_two_have_saved(seen):
    (first, _), folder = seen
    layer, rounds = first["checkpoints"]
    assert layer == rounds == {"even": [[0, 1], [2, 3], [4, 5], [6, 7]], "odd": [0, 1, 2], "one": 2}
    layout = {"even": np.zeros((4, 2)), "odd": np.zeros(3, int), "one": np.float32(0)}
    layout = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), layout)
    with LayerCheckpoints(folder / "checkpoints", "run") as checkpoints:
        (found,) = checkpoints.restore(2, lambda index: layout)
    assert jax.tree.map(np.ndarray.tolist, found) == layer


def test_some_of_the_flags_of_processes_are_refused():
    with pytest.raises(ValueError, match="--num_processes and --process_id are missing"):
        hosts.join("localhost:1")


def test_sigterm_to_one_process_saves_ends_both_and_one_process_goes_on(tmp_path):
    """Sent to the second of them once the run is under way."""
    jobs.succeed("layerwise_rhm", tmp_path / "alone", *FLAGS)
    processes = start(command(tmp_path / "run", free_port()), 2, 1)
    while not (tmp_path / "run" / "checkpoints").exists():
        assert processes[0].poll() is None, processes[0].communicate()
        time.sleep(0.01)
    processes[1].send_signal(signal.SIGTERM)
    (_, words), _ = (process.communicate(timeout=120) for process in processes)
    assert [process.returncode for process in processes] == [143, 143]
    assert words.splitlines()[-1] == "layerwise_rhm: terminated: what is finished is kept"
    assert not (tmp_path / "run" / "summary.json").exists()
    jobs.succeed("layerwise_rhm", tmp_path / "run", *FLAGS)
    found, expected = (
        jobs.summary_of(tmp_path / name)["learners"]["layerwise"]["test_error"]
        for name in ("run", "alone")
    )
    assert found == expected


def test_a_killed_process_ends_the_other(tmp_path):
    processes = start(command(tmp_path / "run", free_port()), 2, 1)
    while not (tmp_path / "run" / "metrics.jsonl").exists():
        assert processes[0].poll() is None, processes[0].communicate()
        time.sleep(0.01)
    processes[0].kill()
    _, words = processes[1].communicate(timeout=120)
    assert processes[1].returncode not in (0, None)
    assert words
