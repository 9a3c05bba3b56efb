import math

import numpy as np

from tests.experiments import jobs
from tests.experiments.laws import ExperimentLaws, lines_of

BAD = {
    "--objective=first": "value should be one of <next|last>",
    "--num_train=64,16": "num_train=64,16 must be numbers",
    "--num_train=2000 --depth=2": "num_train=2000 is larger than the language of 1024 strings",
    "--num_train=64 --online": "--online draws fresh strings, but --num_train asks for fixed sets",
    "--online --depth=2 --num_test=257": "num_test=257 must be at most 256, a quarter",
    "--num_heads=3": "num_heads=3 must divide width=64",
    "--learning_rate=0": "learning_rate=0.0 must be above 0",
    "--num_rules=17": "level 0 needs 16 symbols * 17 rules = 272 distinct tuples",
    "--models=rnn": "models",
}
SMALL = (
    "--num_classes=8",
    "--vocab_size=6",
    "--num_rules=2",
    "--depth=2",
    "--num_test=16",
    "--num_steps=200",
    "--num_looks=5",
    "--width=8",
    "--num_blocks=1",
    "--num_heads=2",
    "--learning_rate=0.02",
    "--num_seeds=2",
)


class TestLanguageSteps(ExperimentLaws):
    name = "language_steps"
    flags = (*SMALL, "--num_train=8,40")
    bad = BAD

    def test_it_comes_nearer_to_exact_inference_with_more_strings(self, finished):
        summary = jobs.summary_of(finished[0])
        few, many = summary["points"]
        assert (few["model"], few["num_train"], many["num_train"]) == ("transformer", 8, 40)
        assert 0 < many["excess"]["mean"] < few["excess"]["mean"]
        # Conditioned on being unseen, test strings are a little less likely.
        assert abs(sum(summary["floor"]) - math.log(64)) < 0.5
        assert summary["distance"] == [3, 1, 2, 1]
        # What a narrower subtree tells is no more, but for chance of sixteen strings.
        levels = np.array(summary["floors_by_level"])
        np.testing.assert_allclose(levels[0], summary["floor"])
        assert (np.diff(levels, axis=0) > -0.2).all()

    def test_a_point_is_the_look_that_held_out_strings_choose(self, finished):
        for point in jobs.summary_of(finished[0])["points"]:
            total = np.sum(point["excess_by_position_per_seed"], axis=1)
            np.testing.assert_allclose(point["excess"]["per_seed"], total, rtol=1e-5)
            steps = point["curve"]["steps"]
            assert (steps[0], steps[-1]) == (0, 200)
            for seed, step in enumerate(point["steps"]):
                curve = point["curve"]["excess"][seed]
                np.testing.assert_allclose(total[seed], curve[steps.index(step)], rtol=1e-5)

    def test_fresh_strings_hold_nothing_out(self, tmp_path):
        jobs.succeed(self.name, tmp_path, *SMALL, "--online")
        summary = jobs.summary_of(tmp_path)
        (point,) = summary["points"]
        assert point["num_train"] is None
        assert point["steps"] == [200, 200]
        assert summary["thresholds"] == []
        start, *_, end = np.mean(point["curve"]["excess"], axis=0)
        assert 0 < end == point["excess"]["mean"] < start - 0.3

    def test_only_the_last_token_may_be_asked(self, tmp_path):
        jobs.succeed(self.name, tmp_path, *SMALL, "--objective=last", "--num_train=40")
        (point,) = jobs.summary_of(tmp_path)["points"]
        assert point["excess_by_position"][:3] == [None] * 3
        np.testing.assert_allclose(point["excess"]["mean"], point["excess_by_position"][3])

    def check_figure(self, axes, summary):
        whole, by_sizes, by_steps = axes
        *seeds, mean = lines_of(whole, "tab:blue")
        assert len(seeds) == 2
        expected = [point["excess"]["mean"] for point in summary["points"]]
        np.testing.assert_allclose(mean.get_ydata(), expected, rtol=1e-5)
        assert by_sizes.get_xlabel() == "train strings n"
        assert by_steps.get_xlabel() == "steps"
