import json
import os
import signal
import socket
import subprocess
import time

import numpy as np
import pytest
from matplotlib.image import imread

from tests.experiments import jobs

SMALL = (
    "--learners=layerwise,kernel",
    "--num_rules=2,4",
    "--depth=2",
    "--train_multiples=1,2",
    "--num_seeds=3",
    "--level=0.3",
)
NUM_TEST = 128


def start(workdir, *flags, env=None):
    return subprocess.Popen(
        jobs.command("sample_complexity", workdir, *flags),
        cwd=jobs.ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=env,
    )


def free_port():
    with socket.create_server(("", 0)) as server:
        return server.getsockname()[1]


def host_flags(port, process_id):
    return f"--coordinator=localhost:{port}", "--num_processes=2", f"--process_id={process_id}"


def chunks(workdir):
    records = workdir / "metrics.jsonl"
    lines = records.read_text().split("\n")[:-1] if records.exists() else []
    return [event for event in map(json.loads, lines) if event["event"] == "chunk"]


def wait_for_chunks(workdir, count):
    deadline = time.monotonic() + 100
    while len(chunks(workdir)) < count and time.monotonic() < deadline:
        time.sleep(0.01)


def check_same_points(workdir, whole):
    """Equal to within three test strings, and every seed of every point measured once."""
    points, expected = jobs.summary_of(workdir)["points"], jobs.summary_of(whole)["points"]
    assert len(points) == len(expected)
    for point, other in zip(points, expected, strict=True):
        assert {**point, "error": None} == {**other, "error": None}
        difference = np.subtract(point["error"]["per_seed"], other["error"]["per_seed"])
        assert np.abs(difference).max() * point["num_test"] <= 3.01
    seeds = [(chunk["point"], seed) for chunk in chunks(workdir) for seed in chunk["seeds"]]
    assert len(seeds) == len(set(seeds)) == 3 * len(points)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("whole") / "run"
    result = jobs.run("sample_complexity", workdir, *SMALL)
    assert result.returncode == 0, result.stderr
    return workdir, result


def test_the_summary_tells_points_thresholds_and_fits(whole):
    workdir, result = whole
    summary = jobs.summary_of(workdir)
    where = [(point["learner"], point["n"], point["multiple"]) for point in summary["points"]]
    sizes = [(32, 1.0), (128, 1.0), (256, 2.0)]
    assert where == [(name, *size) for size in sizes for name in ("layerwise", "kernel")]
    for point in summary["points"]:
        assert len(point["error"]["per_seed"]) == 3
        assert 0 <= point["error"]["mean"] <= point["error"]["max"] <= 1
        assert point["diverged"] == []
    assert {each["n"] for each in summary["skipped"]} == {64}
    assert "more than the language of 64 strings" in summary["skipped"][0]["reason"]
    large = [each for each in summary["thresholds"] if each["predicted"] == 128]
    assert [each["learner"] for each in large] == ["layerwise", "kernel"]
    assert 128 <= large[0]["value"] <= 256
    assert large[0]["multiple"] == large[0]["value"] / 128
    assert summary["fits"]["layerwise"]["exponent"] is None  # Two grammars make no law.
    assert summary["programs_compiled"] == 3 + 6
    assert summary["seconds"]["run"] > 0
    assert "of fewer than three n*" in result.stdout
    assert imread(workdir / "figure.png").std() > 0


def test_a_point_is_what_the_layerwise_experiment_measures(whole, tmp_path):
    flags = ["--num_rules=4", "--depth=2", "--num_train=256", f"--num_test={NUM_TEST}"]
    result = jobs.run("layerwise_rhm", tmp_path, *flags, "--num_seeds=3", "--nobaselines")
    assert result.returncode == 0, result.stderr
    alone = jobs.summary_of(tmp_path)["learners"]["layerwise"]["test_error"]["per_seed"]
    (point,) = (
        point
        for point in jobs.summary_of(whole[0])["points"]
        if (point["learner"], point["n"]) == ("layerwise", 256)
    )
    assert np.abs(np.subtract(point["error"]["per_seed"], alone)).max() * NUM_TEST <= 3.01


def test_a_killed_sweep_goes_on_with_other_devices(whole, tmp_path):
    process = start(tmp_path, *SMALL)
    wait_for_chunks(tmp_path, 1)
    process.kill()
    process.communicate()
    assert len(chunks(tmp_path)) < len(chunks(whole[0]))
    result = jobs.run("sample_complexity", tmp_path, *SMALL, "--num_devices=1")
    assert result.returncode == 0, result.stderr
    check_same_points(tmp_path, whole[0])


def test_two_processes_measure_the_same_points(whole, tmp_path):
    port = free_port()
    other = start(tmp_path / "other", *SMALL, *host_flags(port, 1))
    result = jobs.run("sample_complexity", tmp_path, *SMALL, *host_flags(port, 0))
    out, err = other.communicate(timeout=60)
    assert (result.returncode, other.returncode) == (0, 0), result.stderr + err
    assert out == ""
    assert not (tmp_path / "other").exists()
    assert jobs.summary_of(tmp_path)["hosts"] == 2
    check_same_points(tmp_path, whole[0])


@pytest.mark.parametrize("killed", [0, 1])
def test_when_a_process_dies_the_other_says_so_and_ends(tmp_path, killed):
    port = free_port()
    hosts = [start(tmp_path, *SMALL, *host_flags(port, each)) for each in range(2)]
    wait_for_chunks(tmp_path, 1)
    kept = len(chunks(tmp_path))
    os.kill(hosts[killed].pid, signal.SIGKILL)
    _, err = hosts[1 - killed].communicate(timeout=60)
    hosts[killed].communicate()
    assert hosts[1 - killed].returncode == 1
    assert err.splitlines() == [
        f"sample_complexity: host {killed} of 2 has ended, or cannot be reached: what was measured "
        "is kept, and the same command goes on from it"
    ]
    assert len(chunks(tmp_path)) >= kept >= 1


def test_hosts_are_asked_for_the_same(tmp_path):
    port = free_port()
    hosts = [
        start(tmp_path, *SMALL, f"--seed={each}", *host_flags(port, each)) for each in range(2)
    ]
    for host in hosts:
        _, err = host.communicate(timeout=60)
        assert host.returncode == 2
        assert "host 1 was asked for something else than host 0" in err


def test_records_of_another_grid_are_left_alone(whole):
    records = (whole[0] / "metrics.jsonl").read_bytes()
    result = jobs.run("sample_complexity", whole[0], *SMALL, "--train_multiples=1,4")
    assert result.returncode == 2
    assert "holds a run with train_multiples=[1.0, 2.0], not [1.0, 4.0]" in result.stderr
    assert (whole[0] / "metrics.jsonl").read_bytes() == records


def test_bad_requests_end_in_one_line(tmp_path):
    with socket.create_server(("", 0)) as server:
        taken = server.getsockname()[1]
        jobs.check_refusals(
            "sample_complexity",
            tmp_path / "run",
            {
                "--learners=": "learners= must be different ones of layerwise, end_to_end",
                "--learners=layerwise,deep": "learners=layerwise,deep must be different ones",
                "--train_multiples=2,1": "train_multiples=2,1 must be numbers from",
                "--train_multiples=nan": "train_multiples=nan must be numbers from",
                "--num_rules=": "num_rules= must be whole numbers from 1",
                "--num_rules=2,9": "level 0 needs 8 symbols * 9 rules = 72 distinct tuples",
                "--train_multiples=1,1.0001": "1.0001 both make 64 train strings of C8 V8 M2 S2 L3",
                "--num_rules=2 --depth=1": "can be measured: 8 train strings are fewer",
                "--num_classes=1 --num_rules=1": "can be measured: a language of 1 strings",
                "--num_seeds=2000000": "--num_seeds=2000000",
                "--depth=0": "depth=0 must be whole numbers from 1",
                "--level=1": "level=1.0 must be between 0 and 1",
                "--level=nan": "level=nan must be",
                "--num_test=0": "--num_test=0",
                "--coordinator=localhost:1": "go together: give all",
                f"--coordinator=localhost:{taken} --num_processes=2 --process_id=0": "another port",
                "--coordinator=localhost --num_processes=2 --process_id=0": "an address and a port",
                "--coordinator=a:1 --num_processes=2 --process_id=2": "below num_processes=2",
            },
        )
