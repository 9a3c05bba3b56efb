"""The main job as a user runs it: a command in a process of its own."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from absl import flags as flags_module
from absl.testing import flagsaver

from experiments import cli, layerwise_rhm
from tests.experiments import jobs
from tests.experiments.jobs import kill_when, summary_of

SMALL = ("--num_rules=2", "--vocab_size=4", "--num_classes=4", "--num_seeds=3", "--num_test=300")
SMALL = (*SMALL, "--num_features=32", "--nobaselines")


def run(workdir, *flags, env=None):
    return jobs.run("layerwise_rhm", workdir, *flags, env=env)


def command(workdir, *flags):
    return jobs.command("layerwise_rhm", workdir, *flags)


def without_seconds(summary):
    learners = {
        name: {key: value for key, value in learner.items() if key != "seconds"}
        for name, learner in summary["learners"].items()
    }
    return {**summary, "learners": learners}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("finished")
    result = run(workdir, *SMALL)
    assert result.returncode == 0, result.stderr
    return workdir, result


def test_a_small_run_ends_with_all_its_files(finished):
    workdir, result = finished
    assert {path.name for path in workdir.iterdir()} >= {
        "config.json",
        "metrics.jsonl",
        "summary.json",
        "figure.png",
        "checkpoints",
    }
    assert "layer 3 of 3" in result.stdout
    assert "errors on unseen strings, chance 0.750, 3 seeds" in result.stdout
    assert result.stderr == ""
    layers = workdir / "checkpoints" / "layerwise" / "layers"
    assert {path.name for path in layers.iterdir()} == {"0", "1", "2"}


def test_the_summary_says_all(finished):
    summary = summary_of(finished[0])
    assert summary["num_train"] == 4 * 4 * 2**3
    assert summary["train_multiple"] == 4
    assert summary["chance_error"] == 0.75
    learner = summary["learners"]["layerwise"]
    errors = np.array(learner["test_error"]["per_seed"])
    assert errors.shape == (3,)
    assert learner["test_error"]["mean"] == errors.mean()
    assert learner["test_error"]["max"] == errors.max()
    assert errors.max() < 0.75
    assert learner["train_loss"] < 0.75
    assert set(learner["seconds"]) == {"compile", "run"}
    assert [level["level"] for level in summary["levels"]] == [2, 1, 0]
    for level in summary["levels"]:
        assert 0.25 < level["purity"] <= 1
        assert 0 < level["between_min"] <= level["between_mean"]


def test_a_finished_run_is_taken_up_unchanged(finished):
    workdir, _ = finished
    before = summary_of(workdir)
    result = run(workdir, *SMALL)
    assert result.returncode == 0
    assert "layers finished: layerwise 3 of 3" in result.stdout
    assert summary_of(workdir) == before


def test_choices_of_the_learner_reach_it(finished, tmp_path):
    """Ridge on pooled targets, in a workdir that another request is overwritten in."""
    workdir = tmp_path / "run"
    subprocess.run(["cp", "-r", finished[0], workdir], check=True)
    result = run(workdir, *SMALL, "--solver=ridge", "--targets=pooled", "--overwrite")
    assert result.returncode == 0, result.stderr
    summary = summary_of(workdir)
    assert summary["config"]["solver"] == "ridge"
    assert summary["num_seeds"] == 3
    per_seed = summary["learners"]["layerwise"]["test_error"]["per_seed"]
    assert per_seed != summary_of(finished[0])["learners"]["layerwise"]["test_error"]["per_seed"]


def test_another_request_in_the_same_workdir_is_refused(finished):
    workdir, _ = finished
    before = summary_of(workdir)
    result = run(workdir, *SMALL, "--seed=1")
    assert result.returncode == 2
    assert "holds a run with seed=0, not 1" in result.stderr
    assert summary_of(workdir) == before


@pytest.mark.parametrize("layers_before_the_kill", [0, 2])
def test_a_killed_run_ends_as_an_unbroken_one(finished, tmp_path, layers_before_the_kill):
    awaited = tmp_path / "config.json"
    if layers_before_the_kill:
        layers = tmp_path / "checkpoints" / "layerwise" / "layers"
        awaited = layers / str(layers_before_the_kill - 1)
    kill_when(awaited, command(tmp_path, *SMALL))

    result = run(tmp_path, *SMALL)
    assert result.returncode == 0, result.stderr
    assert without_seconds(summary_of(tmp_path)) == without_seconds(summary_of(finished[0]))
    for line in (tmp_path / "metrics.jsonl").read_text().splitlines():
        json.loads(line)


def errors_of(workdir, learner="layerwise"):
    """Wrong test strings of each seed."""
    per_seed = summary_of(workdir)["learners"][learner]["test_error"]["per_seed"]
    return np.array(per_seed) * 300


def on_devices(number):
    return os.environ | {
        "XLA_FLAGS": os.environ["XLA_FLAGS"] + f" --xla_force_host_platform_device_count={number}",
        "NPROC": "16",
    }


def test_eight_devices_find_what_others_find(finished, tmp_path):
    result = run(tmp_path, *SMALL, "--impl=pmap", env=on_devices(8))
    assert result.returncode == 0, result.stderr
    assert summary_of(tmp_path)["num_devices"] == 8
    assert np.abs(errors_of(tmp_path) - errors_of(finished[0])).max() <= 3


COMPARED = ("--num_rules=2", "--vocab_size=4", "--num_classes=4", "--num_seeds=2", "--num_test=300")
COMPARED = (*COMPARED, "--num_features=32", "--num_steps=300", "--solver=adam")


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    """The other learners are added to a run that was finished without them."""
    workdir = tmp_path_factory.mktemp("compared")
    alone = run(workdir, *COMPARED, "--nobaselines")
    assert alone.returncode == 0, alone.stderr
    assert set(summary_of(workdir)["learners"]) == {"layerwise"}
    result = run(workdir, *COMPARED)
    assert "layers finished: layerwise 3 of 3, kernel 0 of 1" in result.stdout
    assert result.returncode == 0, result.stderr
    return workdir, result


def test_all_learners_are_compared(compared):
    workdir, result = compared
    learners = summary_of(workdir)["learners"]
    assert set(learners) == {"layerwise", "end_to_end", "shallow", "kernel"}
    for name, learner in learners.items():
        assert set(learner) == {"test_error", "train_loss", "seconds", "chosen"}
        assert np.shape(learner["test_error"]["per_seed"]) == (2,)
        assert errors_of(workdir, name).max() < 0.75 * 300
        assert name in result.stdout
    assert set(learners["kernel"]["chosen"]) == {"kernel", "ridge"}
    assert np.shape(learners["end_to_end"]["chosen"]["learning_rate"]) == (2,)
    assert summary_of(workdir)["skipped"] == {}


@pytest.mark.parametrize("awaited", ["layerwise/rounds_1/0", "end_to_end/rounds_0/0"])
def test_a_fit_killed_between_rounds_ends_as_an_unbroken_one(compared, tmp_path, awaited):
    kill_when(tmp_path / "checkpoints" / awaited, command(tmp_path, *COMPARED))
    learner = awaited.partition("/")[0]
    assert not (tmp_path / "summary.json").exists()
    result = run(tmp_path, *COMPARED)
    assert result.returncode == 0, result.stderr
    assert without_seconds(summary_of(tmp_path)) == without_seconds(summary_of(compared[0]))
    left = (tmp_path / "checkpoints" / learner).iterdir()
    assert {path.name for path in left} == {"layers"}


def test_a_shared_batch_changes_nothing_but_rounding(compared, tmp_path):
    result = run(tmp_path, *COMPARED, "--data_parallel", "--num_devices=4", env=on_devices(8))
    assert result.returncode == 0, result.stderr
    assert summary_of(tmp_path)["num_devices"] == 4
    for name in summary_of(tmp_path)["learners"]:
        assert np.abs(errors_of(tmp_path, name) - errors_of(compared[0], name)).max() <= 3


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (["--preset=paper"], ("first", "rms", "gd")),
        (["--preset=paper", "--solver=ridge", "--targets=pooled"], ("pooled", "rms", "ridge")),
        ([], ("concat", "pca", "gd")),
    ],
)
def test_a_preset_yields_to_flags(flags, expected):
    with flagsaver.flagsaver():
        flags_module.FLAGS(["layerwise_rhm.py", *flags])
        config = layerwise_rhm.read_request().config
    assert (config.targets, config.normalizer, config.solver) == expected


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--num_rules=17"], "level 0 needs 8 symbols * 17 rules = 136 distinct tuples"),
        (["--depth=0"], "depth=0"),
        (["--num_test=-3"], "num_test=-3"),
        (["--num_seeds=0"], "--num_seeds=0"),
        (["--num_train=999999"], "larger than the language of 131072 strings"),
        (["--train_multiple=nan"], "train_multiple=nan"),
        (["--train_multiple=2", "--num_train=100"], "give only one"),
        (["--vocab_size=8,8"], "vocab_size lists 2 numbers for depth=3"),
        (["--vocab_size=eight"], "--vocab_size=eight"),
        (["--solver=newton"], "value should be one of <gd|ridge|sgd|adam>"),
        (["--targets=last"], "--targets=last"),
        (["--num_sedes=3"], "num_sedes"),
        (["--impl=vmap"], "--impl=vmap: value should be one of <shard_map|pmap>"),
        (["--num_devices=99"], "num_devices=99 is not between 1 and 8"),
        (["--data_parallel", "--batch_size=12"], "batch_size=12 cannot be divided between 8"),
        (["--data_parallel", "--nobaselines"], "drop --nobaselines"),
        (["--nobaselines", "--batch_size=0"], "batch_size=0 must be from 1 to"),
        (["--width=-2"], "width=-2 must be from 1 to 65536"),
        (["--preset=mine"], "--preset=mine"),
        (["stray"], "unexpected argument 'stray'"),
        (["--top_rule=latin_square"], "Latin-square"),
    ],
)
def test_bad_requests_end_in_one_line(tmp_path, monkeypatch, capsys, flags, words):
    """In this process, for speed: what a command does to the whole process is left out."""
    workdir = tmp_path / "run"
    monkeypatch.setattr(sys, "argv", ["layerwise_rhm.py", f"--workdir={workdir}", *flags])
    monkeypatch.setattr(cli, "_silence_libraries", lambda: None)
    monkeypatch.setattr(cli, "_cache_compilation", lambda: None)
    monkeypatch.setattr(cli, "_use_all_cores", lambda: None)
    with flagsaver.flagsaver(), pytest.raises(SystemExit) as exit_:
        layerwise_rhm.main()
    assert exit_.value.code == 2
    out, err = capsys.readouterr()
    assert words in err
    assert err.startswith("layerwise_rhm: ")
    assert err.count("\n") == 1
    assert out == ""
    assert not workdir.exists()


def test_a_bad_command_ends_in_one_line(tmp_path):
    result = run(tmp_path / "run", "--num_sedes=3")
    assert result.returncode == 2
    assert result.stdout == ""
    assert (
        result.stderr
        == "layerwise_rhm: Unknown command line flag 'num_sedes'. Did you mean: num_seeds ?\n"
    )


def test_a_workdir_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    result = run(tmp_path / "file", *SMALL)
    assert result.returncode == 2
    assert "cannot be used" in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_damaged_step_is_refused_and_nothing_is_lost(finished, tmp_path):
    subprocess.run(["cp", "-r", finished[0], tmp_path / "run"], check=True)
    layers = tmp_path / "run" / "checkpoints" / "layerwise" / "layers"
    damaged = layers / "1" / "layer" / "manifest.ocdbt"
    damaged.write_bytes(b"torn")
    result = run(tmp_path / "run", *SMALL)
    assert result.returncode == 2
    assert "step 1 of" in result.stderr
    assert result.stderr.count("\n") == 1
    assert {path.name for path in layers.iterdir()} == {"0", "1", "2"}


def test_help_explains(tmp_path):
    result = run(tmp_path, "--help")
    assert result.returncode == 0
    for name in ("--train_multiple", "--num_seeds", "--impl", "arXiv 2601.19756", "reconstruction"):
        assert name in result.stdout
