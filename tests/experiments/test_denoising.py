import numpy as np

from tests.experiments import jobs
from tests.experiments.laws import ExperimentLaws, legend_of

BAD = {
    "--noises=soft": "noises",
    "--models=rnn": "models",
    "--noise_steps=25": "noise_steps=25 must be a multiple of 10, the levels of noise",
    "--num_train=64,16": "num_train=64,16 must be numbers",
    "--num_train=2000 --depth=2": "num_train=2000 is larger than the language of 1024 strings",
    "--num_heads=3": "num_heads=3 must divide width=64",
    "--num_rules=17": "level 0 needs 16 symbols * 17 rules = 272 distinct tuples",
}


class TestDenoising(ExperimentLaws):
    name = "denoising"
    flags = (
        "--num_classes=8",
        "--vocab_size=6",
        "--num_rules=3",
        "--depth=2",
        "--noises=absorbing",
        "--noise_steps=10",
        "--num_train=16,150",
        "--num_test=16",
        "--num_samples=64",
        "--num_steps=300",
        "--num_looks=4",
        "--tree_width=32",
        "--num_seeds=2",
    )
    bad = BAD

    def test_more_strings_bring_it_nearer_to_the_exact_denoiser(self, finished):
        summary = jobs.summary_of(finished[0])
        few, many = summary["points"]
        assert (few["model"], few["noise"], many["num_train"]) == ("tree", "absorbing", 150)
        assert 0 < many["excess"]["mean"] < few["excess"]["mean"]
        np.testing.assert_allclose(few["excess"]["mean"], np.mean(few["excess_by_noise"]), 1e-5)
        assert (np.diff(summary["exact"]["absorbing"]["floor"]) > 0).all()

    def test_what_it_makes_of_noise_makes_sense_from_the_leaves_up(self, finished):
        summary = jobs.summary_of(finished[0])
        exact, (_, many) = summary["exact"]["absorbing"], summary["points"]
        for valid in (exact["valid"], many["valid"]):
            assert valid == sorted(valid, reverse=True)
        start, end = many["curve"]["valid"][0], many["curve"]["valid"][-1]
        assert start[0] < end[0] < exact["valid"][0] + 0.1

    def test_what_little_noise_takes_comes_back(self, finished):
        summary = jobs.summary_of(finished[0])
        for found in (summary["exact"]["absorbing"], *summary["points"]):
            kept = np.array(found["kept"])
            assert kept.shape == (10, 3)
            assert (kept[0] > kept[-1] + 0.2).all()
            assert 0 < found["class_lost_at"]["mean"] < 1
        # With no token left nothing but chance keeps anything.
        assert abs(summary["exact"]["absorbing"]["kept"][-1][-1] - 1 / 8) < 0.25

    def check_figure(self, axes, summary):
        excess, by_sizes, by_steps, kept = axes
        assert legend_of(excess) == ["16", "150"]
        for line, point in zip(excess.lines, summary["points"], strict=True):
            np.testing.assert_allclose(line.get_ydata(), np.maximum(point["excess_by_noise"], 1e-3))
        names = ["1 level up", "whole strings", "exact denoiser", "train strings"]
        assert legend_of(by_sizes) == names
        assert by_steps.get_xlabel() == "steps"
        np.testing.assert_allclose(
            kept.lines[0].get_ydata(), np.array(summary["points"][-1]["kept"])[:, 0]
        )
