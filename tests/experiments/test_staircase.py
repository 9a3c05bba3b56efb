import numpy as np
import pytest

from experiments import staircase
from tests.experiments import jobs
from tests.experiments.laws import ExperimentLaws, legend_of, lines_of

BAD = {
    "--degree=31": "degree=31 must be from 1 to 30, the number of inputs",
    "--degree=0": "degree=0 must be at least 1",
    "--degree=20 --second_degree=12": "second_degree=12 must be from 1 to 11, as 30 inputs leave",
    "--num_inputs=0": "num_inputs=0 must be from 1 to 4096",
    "--num_steps=0": "num_steps=0 must be from 1 to 1048576",
    "--num_inputs=2000 --degree=1025": "degree=1025 and second_degree=1 must make at most 1024 te",
    "--num_inputs=12 --num_train=3000 --num_test=1097": "num_train=3000 and num_test=1097 unseen",
    "--num_probes=3": "num_probes=3 must be from 4 to 1048576",
    "--learning_rate=0": "learning_rate=0.0 must be above 0",
    "--learning_rate=nan": "learning_rate=nan must be above 0 and finite",
    "--optimizer=lion": "--optimizer=lion: value should be one of <adam|momentum|sgd>",
    "--layers_per_block=3": "layers_per_block=3 must be from 1 to 2",
    "--steps_per_halving=0": "steps_per_halving=0 must be from 1 to 1048576",
    "--preset=ours": "--preset=ours: value should be one of <paper|paper_double>",
}


def test_rates_fall_by_halves_or_by_a_cosine():
    paper = staircase.EXPERIMENT.make_request(preset="paper")
    halved = paper.schedule(paper.num_steps, paper.learning_rate)
    steps = np.array([0, 14_999, 15_000, 29_999, 30_000, 90_000])
    np.testing.assert_allclose(halved(steps), 0.01 / np.array([1, 1, 2, 2, 4, 64]), rtol=1e-5)
    cosine = staircase.EXPERIMENT.make_request().schedule(100, 0.4)
    np.testing.assert_allclose(cosine(np.array([0, 50, 100])), [0.4, 0.2, 0], atol=1e-7)


def test_presets_are_the_settings_of_the_authors():
    double = staircase.EXPERIMENT.make_request(preset="paper_double")
    task = double.tasks["staircase"]
    assert (len(task.sets), max(map(len, task.sets)), double.num_train) == (13, 7, 100_000)
    assert task.coefficients.tolist() == [1] * 13
    paper = staircase.EXPERIMENT.make_request(preset="paper", width=64)
    assert (paper.width, paper.num_train, paper.batch_size) == (64, 60_000, 20)
    assert float(paper.tasks["staircase"].variance) == pytest.approx(1)


def test_a_preset_is_run_with_flags_that_win(tmp_path):
    flags = ("--num_inputs=10", "--degree=3", "--num_steps=200", "--num_train=400", "--width=20")
    more = ("--num_test=300", "--num_probes=500", "--steps_per_look=100", "--num_seeds=2")
    out = jobs.succeed(
        "staircase", tmp_path, "--preset=paper_double", "--second_degree=3", *flags, *more
    ).out
    words = "given flags win over --preset paper_double: num_inputs=10, not 30, steps_per_look="
    assert f"\n{words}" in out
    assert "2 seeds, into" in out.splitlines()[0]
    assert "200 steps end to end, 400 fixed examples" in out.splitlines()[0]
    assert "on inputs that are not among the 400 of the train set" in out
    summary = jobs.summary_of(tmp_path)
    assert summary["terms"] == [[0], [0, 1], [0, 1, 2], [0, 3], [0, 3, 4]]
    assert summary["coefficient"] == 1
    assert (summary["seen"], set(summary["test_error"]["staircase"])) == (0, {"end_to_end"})
    assert summary["test_error"]["staircase"]["end_to_end"]["max"] < 0.9  # x_1 alone is 1/5.
    climb, errors = staircase.EXPERIMENT.figure(tmp_path).axes
    names = ["$x_1$", "$x_1 \\cdots x_{2}$", "$x_1 \\cdots x_{3}$", "$x_1 x_{4} \\cdots x_{5}$"]
    assert legend_of(climb) == [*names, "the parity, alone"]
    assert [line.get_linestyle() for line in climb.lines[:5]] == ["-", "-", "-", "--", "--"]
    assert legend_of(errors) == ["staircase", "parity"]


class TestStaircase(ExperimentLaws):
    name = "staircase"
    flags = (
        "--num_inputs=6",
        "--degree=3",
        "--num_steps=150",
        "--num_blocks=2",
        "--num_seeds=2",
        "--width=32",
        "--block_width=32",
        "--num_test=1000",
        "--num_probes=1000",
    )
    bad = BAD

    def test_the_staircase_is_climbed(self, finished):
        summary = jobs.summary_of(finished[0])
        assert set(summary["test_error"]) == {"staircase", "parity"}
        for errors in summary["test_error"].values():
            assert set(errors) == {"end_to_end", "layerwise"}
        assert summary["test_error"]["staircase"]["end_to_end"]["max"] < 0.5
        assert len(summary["test_error_by_block"]["staircase"]) == 2
        climb = summary["growth"]["staircase"]
        assert climb["steps"] == [19, 38, 57, 76, 95, 114, 133, 150]
        assert np.shape(climb["mean"]) == (8, 3)
        assert climb["mean"][-1][0] > 0.4
        assert np.shape(climb["error"]) == (2, 8)
        last = [seed[-1] for seed in climb["error"]]  # On other examples than the test error.
        tested = summary["test_error"]["staircase"]["end_to_end"]["per_seed"]
        np.testing.assert_allclose(last, tested, atol=0.05)
        for name in ("num_inputs", "degree", "steps_per_block", "learning_rate", "batch_size"):
            assert name in summary
        assert "errors over the variance, 1 for guessing the mean" in finished[1].out

    def check_figure(self, axes, summary):
        climb, curves, blocks = axes
        lines = {line.get_label(): line for line in climb.lines}
        assert legend_of(climb) == [
            *("$x_1$", "$x_1 \\cdots x_{2}$", "$x_1 \\cdots x_{3}$"),
            "the parity, alone",
        ]
        trace = np.array(summary["growth"]["staircase"]["first_seed"])
        np.testing.assert_allclose(lines["$x_1$"].get_ydata(), trace[:, 0])
        assert lines["the parity, alone"].get_color() == "tab:red"
        for target, colour in (("staircase", "tab:blue"), ("parity", "tab:red")):
            *seeds, mean = lines_of(curves, colour)
            assert len(seeds) == 2
            rows = np.array(summary["growth"][target]["error"])
            np.testing.assert_allclose(mean.get_ydata(), rows.mean(axis=0))
        assert legend_of(blocks) == ["staircase", "parity"]
        for target, colour in (("staircase", "tab:blue"), ("parity", "tab:red")):
            *seeds, mean, whole = lines_of(blocks, colour)
            assert len(seeds) == 2
            errors = [each["mean"] for each in summary["test_error_by_block"][target]]
            np.testing.assert_allclose(mean.get_ydata(), errors, rtol=1e-6)
            error = summary["test_error"][target]["end_to_end"]["mean"]
            assert whole.get_ydata() == pytest.approx([error, error])
