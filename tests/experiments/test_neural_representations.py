"""The experiments on neural representations and on staircases, as a user runs them."""

import numpy as np
import pytest

from tests.experiments import jobs
from tests.experiments.jobs import kill_when, summary_of

SMALL = ("--input_dim=3", "--degree=2", "--num_train=60", "--num_seeds=2", "--num_test=200")
SMALL = (*SMALL, "--num_steps=100")
STAIRCASE = ("--num_inputs=6", "--degree=3", "--num_steps=150", "--num_seeds=1")

BAD_REQUESTS = {
    "--rank=17": "rank=17 must be from 1 to 16, the dimension of the input",
    "--degree=0": "degree=0 must be from 1 to 12",
    "--input_dim=1": "input_dim=1 must be from 2 to",
    "--noise=-1": "noise=-1.0 must be a number that is not negative",
    "--target=cubic": "value should be one of <hermite|monomial>",
    "--num_train=500,100": "num_train=500,100 must be whole numbers from 16 to 4194304 that ascend",
    "--num_train=100,100": "that ascend",
    "--num_train=many": "num_train=many must be whole numbers",
    "--num_train=": "must be whole numbers",
    "--num_train=4000000": "seeds at once, and",
    "--representation=sigmoid": "value should be one of <quadratic|relu|erf|indicator>",
    "--width=100": "width=100 must be from 153, the directions that are whitened, to 131072",
    "--num_directions=0": "num_directions=0 must be from 1 to 131072",
    "--learners=ntk": "learners=ntk must be different ones of ntk_raw, quad_raw",
    "--learners=ntk_raw,ntk_raw": "must be different ones",
    "--width=131072 --num_directions=100000 --num_train=1000000": "seeds at once, and",
    "--num_test=0": "num_test=0 must be from 1 to",
    "--num_devices=99": "num_devices=99 is not between 1 and",
}

BAD_STAIRCASES = {
    "--degree=31": "degree=31 must be from 1 to 30, the number of inputs",
    "--degree=0": "degree=0 must be from 1 to 30",
    "--num_inputs=0": "num_inputs=0 must be from 1 to 4096",
    "--num_steps=0": "num_steps=0 must be from 1 to 1048576",
    "--num_inputs=2000 --degree=1025": "degree=1025 must be at most 1024",
}

BAD_THRESHOLDS = {
    "--input_dims=16,8": "input_dims=16,8 must be whole numbers from 2 to 256 that ascend",
    "--train_multiples=0,1": "train_multiples=0,1 must be whole numbers from 1 to 4096",
    "--level=2": "level",
    "--input_dims=2 --train_multiples=1": "make 4 train examples, fewer than 16",
    "--num_steps=5000000000": "num_steps",
    "--input_dims=256": "seeds at once, and",
}


@pytest.fixture(scope="module")
def represented(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("represented")
    result = jobs.run("neural_representations", workdir, *SMALL, "--learners=ntk_rep,quad_rep")
    assert result.returncode == 0, result.stderr
    return workdir, result


def test_learners_are_compared_at_each_number_of_examples(represented):
    workdir, result = represented
    assert result.stderr == ""
    assert {path.name for path in workdir.iterdir()} >= {"summary.json", "figure.png"}
    summary = summary_of(workdir)
    assert summary["num_train"] == [60]
    np.testing.assert_allclose(summary["variance_by_degree"], [0, 0, 1], atol=1e-6)
    for learner in ("ntk_rep", "quad_rep"):
        error = summary["test_error"][learner]["60"]
        assert set(error) == {"mean", "std", "max", "per_seed"}
        assert len(error["per_seed"]) == 2
        assert error["mean"] < 0.2
        # What is found of a target of one degree only is what is not erred on, and no more.
        assert summary["explained_by_degree"][learner]["60"][2] > 0.7
        assert summary["seconds"][learner]["60"]["run"] > 0
    assert set(summary["chosen"]["ntk_rep"]["60"]) == {"kernel", "ridge"}
    chosen = summary["chosen"]["quad_rep"]["60"]
    assert {"activation", "width", "learning_rate", "penalty", "num_steps"} <= set(chosen)
    assert all(len(values) == 2 for values in chosen.values())


def test_directions_that_a_representation_lacks_are_named(represented):
    """On the sphere |x|^2 is constant: of 10 monomials of degree 2 and less one is no other."""
    workdir, result = represented
    assert "10.0% of the 10 directions of the representation are below the floor" in result.stdout
    np.testing.assert_allclose(summary_of(workdir)["dropped"]["ntk_rep"]["60"], 0.1)


def test_a_killed_run_ends_as_an_unbroken_one(represented, tmp_path):
    """Also of learners beside it nothing depends on the others."""
    flags = (*SMALL, "--learners=quad_rep")
    command = jobs.command("neural_representations", tmp_path, *flags)
    kill_when(tmp_path / "checkpoints" / "quad_rep_60" / "rounds_1" / "0", command)
    result = jobs.run("neural_representations", tmp_path, *flags)
    assert result.returncode == 0, result.stderr
    assert "quad_rep_60 1 of 2" in result.stdout
    unbroken, resumed = summary_of(represented[0]), summary_of(tmp_path)
    for name in ("test_error", "chosen", "explained_by_degree"):
        assert resumed[name]["quad_rep"] == unbroken[name]["quad_rep"]


def test_a_staircase_is_climbed(tmp_path):
    result = jobs.run("staircase", tmp_path, *STAIRCASE)
    assert result.returncode == 0, result.stderr
    summary = summary_of(tmp_path)
    assert set(summary["test_error"]) == {"staircase", "parity"}
    for errors in summary["test_error"].values():
        assert set(errors) == {"end_to_end", "layerwise"}
    assert summary["test_error"]["staircase"]["end_to_end"]["mean"] < 0.5
    assert len(summary["test_error_by_block"]["staircase"]) == 4
    climb = summary["prefix_coefficients"]["staircase"]
    assert climb["steps"] == [20, 40, 60, 80, 100, 120, 140, 150]
    assert np.shape(climb["mean"]) == (8, 3)
    assert climb["mean"][-1][0] > 0.4
    assert "layer by layer" in result.stdout


def test_thresholds_are_tabulated_and_no_law_is_claimed_of_one_dimension(tmp_path):
    flags = ("--input_dims=4", "--train_multiples=1,8", "--num_seeds=2", "--learners=ntk_raw")
    result = jobs.run("representation_thresholds", tmp_path, *flags)
    assert result.returncode == 0, result.stderr
    summary = summary_of(tmp_path)
    assert "no exponent" in result.stdout
    assert set(summary["thresholds"]["ntk_raw"]["4"]) == {"value", "low", "high"}
    assert summary["fits"]["ntk_raw"]["exponent"] is None
    assert summary["dimensions"]["4"]["test_error"]["ntk_raw"]["128"]["mean"] < 0.1


@pytest.mark.parametrize(
    ("experiment", "requests"),
    [
        ("neural_representations", BAD_REQUESTS),
        ("staircase", BAD_STAIRCASES),
        ("representation_thresholds", BAD_THRESHOLDS),
    ],
)
def test_bad_requests_end_in_one_line(tmp_path, experiment, requests):
    jobs.check_refusals(experiment, tmp_path / "run", requests)
