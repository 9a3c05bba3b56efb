import numpy as np

from tests.experiments import jobs
from tests.experiments.laws import ExperimentLaws, legend_of, plain

LEARNERS = ("layerwise", "corrected", "end_to_end")
BAD = {
    "--learners=greedy": "learners",
    "--train_multiples=2,1": "train_multiples=2.0,1.0 must be numbers",
    "--num_steps=3": "num_steps=3 must be at least 6, two for each layer",
    "--train_multiples=64 --depth=2": "larger than the language of",
    "--num_classes=1 --num_rules=1 --train_multiples=1": "makes fewer than 2 strings",
}


class TestFeatureCorrection(ExperimentLaws):
    name = "feature_correction"
    flags = (
        "--num_classes=4",
        "--vocab_size=4",
        "--num_rules=2",
        "--train_multiples=1,4",
        "--num_steps=300",
        "--learning_rates=0.1,0.4",
        "--width=16",
        "--num_test=100",
        "--num_seeds=2",
    )
    bad = BAD

    def test_more_strings_bring_lower_errors_and_purer_symbols(self, finished):
        summary = jobs.summary_of(finished[0])
        assert (summary["unit"], summary["chance_error"]) == (32, 0.75)
        where = [(point["learner"], point["num_train"]) for point in summary["points"]]
        assert where == [(name, n) for n in (32, 128) for name in LEARNERS]
        few, many = summary["points"][:3], summary["points"][3:]
        for one, other in zip(few, many, strict=True):
            assert len(one["purity"]) == 3
            assert other["test_error"]["mean"] < one["test_error"]["mean"] < 0.9
            # Of the root's symbols, which are the classes, chance purity is a quarter.
            assert other["purity"][-1]["mean"] > 0.4

    def check_figure(self, axes, summary):
        errors, *levels = axes
        assert legend_of(errors) == [plain(name) for name in LEARNERS]
        assert [axis.get_title() for axis in levels] == [
            f"layer {layer}: level {3 - layer}" for layer in (1, 2, 3)
        ]
        means = [line for line in levels[0].lines if line.get_marker() == "o"]
        for name, line in zip(LEARNERS, means, strict=True):
            own = [point for point in summary["points"] if point["learner"] == name]
            expected = [point["purity"][0]["mean"] for point in own]
            np.testing.assert_allclose(line.get_ydata(), expected)
