import math

import numpy as np

from tests.experiments import jobs
from tests.experiments.laws import ExperimentLaws, lines_of

BAD = {
    "--objective=first": "value should be one of <next|last>",
    "--num_train=64,16": "num_train=64,16 must be numbers",
    "--num_train=2000 --depth=2": "num_train=2000 is larger than the language of 1024 strings",
    "--num_heads=3": "num_heads=3 must divide width=64",
    "--learning_rate=0": "learning_rate=0.0 must be above 0",
    "--num_rules=17": "level 0 needs 16 symbols * 17 rules = 272 distinct tuples",
}


class TestLanguageSteps(ExperimentLaws):
    name = "language_steps"
    flags = (
        "--num_classes=8",
        "--vocab_size=6",
        "--num_rules=2",
        "--depth=2",
        "--num_train=8,40",
        "--num_test=20",
        "--num_steps=200",
        "--width=8",
        "--num_blocks=1",
        "--num_heads=2",
        "--learning_rate=0.02",
        "--num_seeds=2",
    )
    bad = BAD

    def test_it_comes_nearer_to_exact_inference_with_more_strings(self, finished):
        summary = jobs.summary_of(finished[0])
        few, many = summary["points"]
        assert (few["model"], few["num_train"], many["num_train"]) == ("transformer", 8, 40)
        assert 0 < many["excess"]["mean"] < few["excess"]["mean"]
        # Conditioned on being unseen, test strings are a little less likely.
        assert abs(sum(summary["floor"]) - math.log(64)) < 0.5
        for point in (few, many):
            total = np.sum(point["excess_by_position_per_seed"], axis=1)
            np.testing.assert_allclose(point["excess"]["per_seed"], total, rtol=1e-5)
        assert summary["distance"] == [3, 1, 2, 1]

    def test_only_the_last_token_may_be_asked(self, tmp_path):
        jobs.succeed(self.name, tmp_path, *self.flags, "--objective=last", "--num_train=40")
        (point,) = jobs.summary_of(tmp_path)["points"]
        assert point["excess_by_position"][:3] == [None] * 3
        assert point["excess"]["mean"] == point["excess_by_position"][3]

    def check_figure(self, axes, summary):
        whole, parts = axes
        *seeds, mean = lines_of(whole, "tab:blue")
        assert len(seeds) == 2
        expected = [point["excess"]["mean"] for point in summary["points"]]
        np.testing.assert_allclose(mean.get_ydata(), expected, rtol=1e-5)
        assert parts.get_xlabel() == "train strings n"
