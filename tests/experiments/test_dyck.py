import numpy as np

from tests.experiments import jobs
from tests.experiments.laws import ExperimentLaws, legend_of

BAD = {
    "--num_kinds=0": "num_kinds=0 must be from 1",
    "--end_probability=0": "end_probability=0.0 must be above 0",
    "--min_length=701": "min_length=701 and max_length=700 must ascend",
    "--test_length=700": "test_length=700 must be above max_length=700",
    "--max_length=701 --test_length=702": "no string has min_length=702",
    "--num_heads=4": "width=30 cannot be divided between num_heads=4",
    "--num_blocks=2,1": "num_blocks=2,1 must be numbers",
    "--learning_rate=0": "learning_rate=0.0 must be above 0",
}


class TestDyck(ExperimentLaws):
    name = "dyck"
    flags = (
        "--num_kinds=3",
        "--max_depth=3",
        "--min_length=9",
        "--max_length=20",
        "--test_length=40",
        "--num_test=20",
        "--num_blocks=1,2",
        "--width=12",
        "--batch_size=16",
        "--num_steps=200",
        "--num_looks=4",
        "--num_seeds=2",
    )
    bad = BAD

    def test_brackets_that_are_just_opened_are_closed_and_others_less(self, finished):
        summary = jobs.summary_of(finished[0])
        assert [point["num_blocks"] for point in summary["points"]] == [1, 1, 2, 2]
        for point in summary["points"]:
            near, *_, far = [each for each in point["by_distance"] if each is not None]
            assert near > 0.9
            assert far < near
            assert 1 / 3 < point["sure"]["mean"] <= point["accuracy"]["mean"] < 1

    def test_strings_are_read_beyond_what_was_trained_on(self, finished):
        summary = jobs.summary_of(finished[0])
        assert {n: test["lengths"] for n, test in summary["tests"].items()} == {
            "as long": [11, 20],
            "longer": [21, 40],
        }
        shorter, longer = summary["points"][-2:]
        read = [[each is not None for each in point["by_place"]] for point in (shorter, longer)]
        assert not any(read[0][7:])
        assert all(read[1][7:10])

    def test_tokens_cost_ever_less_and_never_less_than_the_floor(self, finished):
        for point in jobs.summary_of(finished[0])["points"]:
            start, *_, end = np.mean(point["curve"]["excess"], axis=0)
            np.testing.assert_allclose(end, point["excess"]["mean"], rtol=1e-5)
            assert 0 < end < 0.75 * start

    def check_figure(self, axes, summary):
        known, cost, far, place = axes
        assert legend_of(known) == [
            "1 block, 11 to 20 tokens",
            "1 block, 21 to 40 tokens",
            "2 blocks, 11 to 20 tokens",
            "2 blocks, 21 to 40 tokens",
        ]
        for point, line in zip(summary["points"], far.lines, strict=False):
            shares = np.array(point["by_distance"], float)
            np.testing.assert_allclose(line.get_ydata(), shares)
        means = [line for line in cost.lines if line.get_alpha() is None]
        for point, line in zip(summary["points"], means, strict=True):
            np.testing.assert_allclose(
                line.get_ydata(), np.mean(point["curve"]["excess"], axis=0)[1:], rtol=1e-6
            )
        trained = [line.get_xdata()[0] for line in place.lines if line.get_linestyle() == ":"]
        assert trained == [20]
