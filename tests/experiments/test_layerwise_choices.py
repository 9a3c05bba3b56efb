import numpy as np

from tests.experiments import jobs
from tests.experiments.laws import ExperimentLaws, legend_of

BAD = {
    "--penalties=0": "penalties=0.0 must be numbers above 0",
    "--penalties=1,0.5": "penalties=1.0,0.5 must be numbers above 0 that ascend",
    "--num_features=0": "num_features=0 must be numbers from 1",
    "--num_features=": "num_features= is empty",
    "--bandwidth=0": "bandwidth=0.0 must be above 0",
    "--orthogonality=2": "orthogonality=2.0 must be above 0 and below 2",
    "--bandwidth=0.3 --orthogonality=0.1": "orthogonality=0.1 is for a bandwidth from the smallest",
    "--level=0": "level=0.0 must be above 0",
    "--num_test=0": "num_test=0 must be from 1",
}


class TestLayerwiseChoices(ExperimentLaws):
    name = "layerwise_choices"
    flags = (
        "--num_classes=4",
        "--vocab_size=4",
        "--num_rules=2",
        "--depth=3",
        "--train_multiples=2,8",
        "--num_features=4",
        "--penalties=0.1",
        "--num_seeds=2",
        "--num_test=64",
    )
    bad = BAD

    def test_all_choices_are_told_and_few_pairs_are_far_from_the_limit(self, finished):
        summary = jobs.summary_of(finished[0])
        errors = {
            (each["penalty"], each["num_features"], each["n"]): each["test_error"]
            for each in summary["points"]
        }
        assert len(errors) == 2 * 2
        assert set(errors[0.1, None, 64]) == {"mean", "std", "max", "per_seed"}
        assert errors[0.1, 4, 256]["mean"] > errors[0.1, None, 256]["mean"] + 0.2
        kinds = [(each["penalty"], each["num_features"]) for each in summary["thresholds"]]
        assert kinds == [(0.1, pairs) for pairs in (4, None)]
        assert "infinitely many pairs" in finished[1].out

    def check_figure(self, axes, summary):
        assert [axis.get_title() for axis in axes] == ["penalty 0.1 / (V M)"]
        assert legend_of(axes[0]) == ["4", r"$\infty$"]
        (mean,) = [line for line in axes[0].lines if line.get_label() == r"$\infty$"]
        means = [
            each["test_error"]["mean"] for each in summary["points"] if each["num_features"] is None
        ]
        np.testing.assert_allclose(mean.get_ydata(), np.maximum(means, 3e-4))
