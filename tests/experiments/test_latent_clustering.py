import numpy as np

from tests.experiments import jobs
from tests.experiments.laws import ExperimentLaws, legend_of, ticks_of

BAD = {
    "--depth=3,2": "depth=3,2 must be numbers from 2",
    "--depth=1": "depth=1 must be numbers from 2",
    "--num_rules=8": "all 64 tuples of level 2 have a rule, so siblings tell nothing of each other",
    "--num_rules=9": "level 0 needs 8 symbols * 9 rules = 72 distinct tuples",
    "--train_multiples=8,4": "train_multiples=8.0,4.0 must be numbers",
    "--train_multiples=4,4.0001": "two train_multiples make as many train strings",
    "--train_multiples=0.015625": "8 train strings are fewer than 16",
    "--depth=2": "language of 512 strings",
    "--level=0": "level=0.0 must be above 0",
}


class TestLatentClustering(ExperimentLaws):
    name = "latent_clustering"
    flags = (
        "--depth=3,4",
        "--vocab_size=8",
        "--num_rules=2",
        "--train_multiples=8",
        "--num_test=100",
        "--num_seeds=2",
    )
    bad = BAD

    def test_the_summary_tells_errors_and_thresholds_of_each_depth(self, finished):
        summary = jobs.summary_of(finished[0])
        assert (summary["num_classes"], summary["unit"]) == (8, 64)
        np.testing.assert_allclose(summary["predicted"], 64 / (1 - 2 / 8))
        where = [
            (point["depth"], point["multiple"], point["num_train"]) for point in summary["points"]
        ]
        assert where == [(3, 8, 512), (4, 8, 512)]
        assert max(point["test_error"]["max"] for point in summary["points"]) < 0.01
        found = summary["thresholds"]
        assert [each["depth"] for each in found] == [3, 4]
        assert [each["predicted_with_classes"] for each in found] == [64, 128]
        for each in found:
            assert each["tried"] == [512, 512]
            assert each["value"] == 512

    def check_figure(self, axes, summary):
        errors, needed = axes
        assert legend_of(errors) == ["L = 3", "L = 4"]
        means = [line for line in errors.lines if line.get_marker() == "o"]
        for line, depth in zip(means, (3, 4), strict=True):
            own = [point for point in summary["points"] if point["depth"] == depth]
            expected = [max(point["test_error"]["mean"], 1e-4) for point in own]
            np.testing.assert_allclose(line.get_ydata(), expected)
        assert ticks_of(needed.get_xticklabels()) == ["3", "4"]
        drawn = [line for line in needed.lines if line.get_marker() == "v"]
        values = [each["value"] for each in summary["thresholds"]]
        np.testing.assert_allclose([line.get_ydata()[0] for line in drawn], values)
