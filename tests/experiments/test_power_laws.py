import numpy as np

from tests.experiments import jobs
from tests.experiments.laws import ExperimentLaws, legend_of

BAD = {
    "--learners=deep": "learners",
    "--exponents=2,1": "exponents=2.0,1.0 must be numbers above 0",
    "--exponents=0": "exponents=0.0 must be numbers above 0",
    "--level=2": "level=2 must be from 0 to 1, above the leaves",
    "--num_train=8,64": "num_train=8,64 must be",
    "--num_rules=4,129": "level 1 needs 8 symbols * 129 rules = 1032 distinct tuples",
    "--learners=kernel --num_train=2097152": "is more than",
}


class TestPowerLaws(ExperimentLaws):
    name = "power_laws"
    flags = (
        "--learners=layerwise",
        "--exponents=0.5,2",
        "--vocab_size=8,16",
        "--num_rules=4,32",
        "--num_train=256,1024,4096",
        "--num_test=2000",
        "--num_seeds=3",
    )
    bad = BAD

    def test_errors_fall_by_the_law_until_the_rarest_rule_is_learned(self, finished):
        summary = jobs.summary_of(finished[0])
        assert summary["chance_error"] == 0.875
        flat, steep = summary["curves"]
        np.testing.assert_allclose([flat["law"], steep["law"]], [-1 / 3, -2 / 3])
        # Of 32 rules the most frequent takes 73 strings, or 39 if a = 2.
        assert flat["fitted"] == [256, 1024, 4096]
        assert steep["fitted"] == [256, 1024, 4096]
        assert flat["fit"]["exponent"] < flat["law"]  # The rarest rule is near.
        assert steep["fit"]["low"] < steep["law"] < steep["fit"]["high"]
        for curve in (flat, steep):
            means = [each["mean"] for each in curve["test_error"]]
            assert means == sorted(means, reverse=True)

    def check_figure(self, axes, summary):
        assert [axis.get_title() for axis in axes] == ["a = 0.5: law -0.33", "a = 2: law -0.67"]
        for axis, curve in zip(axes, summary["curves"], strict=True):
            fit, theory = legend_of(axis)
            assert fit.startswith(f"layerwise: {curve['fit']['exponent']:.2f} (")
            assert theory == f"theory: {curve['fit_of_theory']:.2f}"
            (means,) = [line for line in axis.lines if line.get_marker() == "o"]
            expected = [each["mean"] for each in curve["test_error"]]
            np.testing.assert_allclose(means.get_ydata(), np.maximum(expected, 0.5 / 2000))
