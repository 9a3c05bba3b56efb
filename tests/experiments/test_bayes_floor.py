import numpy as np
import pytest

from tests.experiments import jobs
from tests.experiments.laws import ExperimentLaws, legend_of, lines_of

BAD = {
    "--mask_rates=.5,1.5": "mask_rates=0.5,1.5 must be numbers from 0 to 1",
    "--flip_rates=.5,.1": "flip_rates=0.5,0.1 must be numbers",
    "--num_strings=1": "num_strings=1 must be from 2 to",
    "--num_rules=17": "level 0 needs 16 symbols * 17 rules = 272 distinct tuples",
}


class TestBayesFloor(ExperimentLaws):
    name = "bayes_floor"
    flags = (
        "--num_classes=4",
        "--vocab_size=4",
        "--num_rules=2",
        "--depth=2",
        "--num_strings=200",
        "--mask_rates=0,.5,1",
        "--flip_rates=0,.5,1",
        "--num_seeds=2",
    )
    bad = BAD

    def test_floors_of_next_tokens_add_up_and_noise_costs(self, finished):
        summary = jobs.summary_of(finished[0])
        ahead = np.array([each["per_seed"] for each in summary["next_token"]])
        np.testing.assert_allclose(ahead.sum(axis=0), np.log(4 * 2**3), atol=1e-5)
        assert summary["string_entropy"] == pytest.approx(np.log(4 * 2**3))
        assert list(summary["class_error"]) == ["0.0", "0.5", "1.0"]
        none, half, whole = (each["mean"] for each in summary["class_error"].values())
        assert none == pytest.approx(0, abs=1e-6)
        assert 0.05 < half < whole
        assert whole == pytest.approx(summary["chance_error"], abs=1e-5)
        assert np.all(np.diff([each["mean"] for each in summary["masked"].values()]) > 0)
        # From the whole string before it, the last token is as at the last position.
        last = [each["mean"] for each in summary["last_token"].values()]
        assert last[-1] == summary["next_token"][-1]["mean"]
        assert last == sorted(last, reverse=True)
        assert summary["next_token"][0]["std_error"] > 0

    def check_figure(self, axes, summary):
        ahead, masked, flipped = axes
        heights = {round(bar.get_center()[0]): bar.get_height() for bar in ahead.patches}
        expected = [each["mean"] for each in summary["next_token"]]
        np.testing.assert_allclose([heights[place] for place in (1, 2, 3, 4)], expected)
        assert legend_of(ahead) == ["1", "2", "none before"]
        for axis, name in ((masked, "masked"), (flipped, "class_error")):
            *seeds, mean = lines_of(axis, "tab:blue")
            assert len(seeds) == 2
            floors = [each["mean"] for each in summary[name].values()]
            np.testing.assert_allclose(mean.get_ydata(), floors)
