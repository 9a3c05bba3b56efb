"""The experiments on label hierarchies, each in a process of its own: they share flag names."""

import numpy as np
import pytest

from tests.experiments import jobs
from tests.experiments.jobs import kill_when, summary_of

SMALL = ("--num_inputs=8", "--depth=2", "--num_seeds=3", "--num_test=300", "--nobaselines")
SMALL = (*SMALL, "--num_train=600", "--passes=10", "--batch_size=64")

BAD_REQUESTS = {
    "--task=xor": "value should be one of <cnot|tof|mix|ptf|automaton>",
    "--num_inputs=7": "num_inputs=7 must be even",
    "--labels_per_level=13": "labels_per_level=13 must be from 1 to 12",
    "--depth=0": "depth=0 must be at least 1",
    "--task=automaton --num_inputs=2": "window of 2 * 1 + 1 locations is wider than the side 2",
    "--task=automaton --rule=256": "--rule=256",
    "--task=automaton --labels_per_level=2": "--labels_per_level is for --task cnot or tof",
    "--rule=30": "--rule is for --task automaton, not cnot",
    "--task=ptf --fan_in=4": "fan_in=4 must be odd",
    "--task=ptf --ptf_kind=random --degree=4": "degree=4 must be at most fan_in=3",
    "--task=ptf --fan_in=25": "fan_in=25 is more than the 24 nodes below",
    "--task=ptf --ptf_kind=and --fan_in=5 --depth=1": "of level 1 none had a rarer sign on",
    "--task=ptf --degree=3": "--degree is for --ptf_kind random, not majority",
    "--passes=1e13": "passes=10000000000000.0 must be positive, and at most",
    "--num_train=3000000000": "num_train=3000000000 must be from 16 to",
    "--num_inputs=1000000": "num_inputs=1000000 must be at most 1024",
    "--solver=ridge --loss=hinge": "solver='ridge' is for loss='square'",
    "--unit_fan_in=99": "fan_in=99 must be from 1 to 85, the numbers that a unit can read",
    "--num_train=3": "num_train=3 must be from 16 to",
    "--unit_fan_in=1": "makes quadratic units of signs constant",
    "--solver=ridge --passes=2": "--passes is for --solver sgd or adam, not ridge",
    "--num_blocks=0": "num_blocks=0 must be at least 1",
    "--width=0": "width=0 must be at least 1",
    "--depth=60": "the most for --solver sgd",
    "--batch_size=0": "batch_size=0 must be positive, and at most",
    "--num_devices=99": "num_devices=99 is not between 1 and",
    "stray": "unexpected argument 'stray'",
}


def run(workdir, *flags):
    return jobs.run("label_hierarchy", workdir, *flags)


def without_seconds(summary):
    return {key: value for key, value in summary.items() if key != "seconds"}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("finished")
    result = run(workdir, *SMALL)
    assert result.returncode == 0, result.stderr
    return workdir, result


def test_a_small_run_climbs_its_hierarchy(finished):
    workdir, result = finished
    names = {path.name for path in workdir.iterdir()}
    assert names >= {"config.json", "metrics.jsonl", "summary.json", "figure.png", "checkpoints"}
    assert result.stderr == ""
    assert "layer 2 of 2" in result.stdout
    summary = summary_of(workdir)
    accuracy = np.array(summary["accuracy_per_seed"])
    assert accuracy.shape == (3, 2, 2)
    np.testing.assert_allclose(accuracy.mean(axis=0), summary["accuracy"], rtol=1e-6)
    assert summary["ahead"] == [summary["accuracy"][0][1]]
    assert summary["ahead"][0] < 0.7
    assert summary["accuracy"][0][0] > 0.98
    assert summary["accuracy"][1][1] > 0.95
    assert summary["accuracy_min_label"][1][1] <= summary["accuracy"][1][1]
    assert all(0.5 <= chance < 0.6 for chance in summary["chance"])
    assert set(summary["seconds"]) == {"compile", "run"}


@pytest.mark.parametrize("awaited", ["layers/0", "rounds_1/0"])
def test_a_killed_run_ends_as_an_unbroken_one(finished, tmp_path, awaited):
    command = jobs.command("label_hierarchy", tmp_path, *SMALL)
    kill_when(tmp_path / "checkpoints" / "layerwise" / awaited, command)
    assert not (tmp_path / "summary.json").exists()
    result = run(tmp_path, *SMALL)
    assert result.returncode == 0, result.stderr
    assert "layers finished: layerwise 1 of 2" in result.stdout
    assert without_seconds(summary_of(tmp_path)) == without_seconds(summary_of(finished[0]))


def test_bad_requests_end_in_one_line(tmp_path):
    jobs.check_refusals("label_hierarchy", tmp_path / "run", BAD_REQUESTS)


def test_a_brain_dump_is_learned_and_compared(tmp_path):
    flags = ("--num_inputs=6", "--depth=2", "--gates_per_level=6", "--labels_per_level=8")
    flags = (*flags, "--num_seeds=1", "--num_train=1500", "--passes=6", "--num_test=500")
    result = jobs.run("brain_dump", tmp_path, *flags)
    assert result.returncode == 0, result.stderr
    summary = summary_of(tmp_path)
    assert np.shape(summary["accuracy"]) == (3, 2)
    assert min(summary["accuracy"][2]) > 0.95
    names = {"linear", "shallow", "end_to_end", "end_to_end_top"}
    assert set(summary["baselines"]) == names
    for learner in summary["baselines"].values():
        assert np.shape(learner["accuracy"]) == (2,)
        assert np.shape(learner["accuracy_per_seed"]) == (1, 2)
    assert summary["baselines"]["end_to_end"]["learning_rate"]
    for levels in summary["gate_recovery"].values():
        assert len(levels) == 2
        assert min(levels) > 0.7


def test_help_names_the_flags_of_all_rooms(tmp_path):
    result = run(tmp_path, "--help")
    assert result.returncode == 0
    for name in ("--task", "--labels_per_level", "--num_seeds", "--unit_fan_in", "2601.00455"):
        assert name in result.stdout
