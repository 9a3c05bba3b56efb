import numpy as np
import pytest

from tests.experiments import jobs
from tests.experiments.laws import ExperimentLaws, legend_of, lines_of

BAD = {
    "--degree=31": "degree=31 must be from 1 to 30, the number of inputs",
    "--degree=0": "degree=0 must be at least 1",
    "--num_inputs=0": "num_inputs=0 must be from 1 to 4096",
    "--num_steps=0": "num_steps=0 must be from 1 to 1048576",
    "--num_inputs=2000 --degree=1025": "degree=1025 must be at most 1024",
    "--num_probes=3": "num_probes=3 must be from 4 to 1048576",
    "--learning_rate=0": "learning_rate=0.0 must be above 0",
    "--learning_rate=nan": "learning_rate=nan must be above 0 and finite",
}


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
        climb = summary["prefix_coefficients"]["staircase"]
        assert climb["steps"] == [20, 40, 60, 80, 100, 120, 140, 150]
        assert np.shape(climb["mean"]) == (8, 3)
        assert climb["mean"][-1][0] > 0.4
        for name in ("num_inputs", "degree", "steps_per_block", "learning_rate", "batch_size"):
            assert name in summary
        assert "errors over the variance, 1 for guessing the mean" in finished[1].out

    def check_figure(self, axes, summary):
        climb, blocks = axes
        lines = {line.get_label(): line for line in climb.lines}
        assert legend_of(climb) == [
            *("$x_1$", "$x_1 \\cdots x_{2}$", "$x_1 \\cdots x_{3}$"),
            "the parity, alone",
        ]
        trace = np.array(summary["prefix_coefficients"]["staircase"]["first_seed"])
        np.testing.assert_allclose(lines["$x_1$"].get_ydata(), trace[:, 0])
        assert lines["the parity, alone"].get_color() == "tab:red"
        assert legend_of(blocks) == ["staircase", "parity"]
        for target, colour in (("staircase", "tab:blue"), ("parity", "tab:red")):
            *seeds, mean, whole = lines_of(blocks, colour)
            assert len(seeds) == 2
            errors = [each["mean"] for each in summary["test_error_by_block"][target]]
            np.testing.assert_allclose(mean.get_ydata(), errors, rtol=1e-6)
            error = summary["test_error"][target]["end_to_end"]["mean"]
            assert whole.get_ydata() == pytest.approx([error, error])
