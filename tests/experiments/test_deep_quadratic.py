import numpy as np

from hierjax.plots.deep_quadratics import COLOURS
from tests.experiments import jobs
from tests.experiments.laws import ExperimentLaws, legend_of, lines_of, plain

LEARNERS = ("layerwise", "end_to_end", "kernel")
BAD = {
    "--num_train=5000,2000": "num_train=5000,2000 must be numbers from 16 to 16384 that ascend",
    "--num_train=100000": "num_train=100000 must be numbers from 16 to 16384",
    "--num_train=": "num_train= is empty",
    "--num_terms=29": "num_terms=29 must be from 7, those that one term of level 3 is built of, to "
    "28, all of 32 inputs and 3 levels",
    "--num_terms=6": "num_terms=6 must be from 7",
    "--depth=6": "depth=6 must be from 1 to 5",
    "--num_inputs=7": "depth=3 must be from 1 to 2",
    "--num_inputs=1": "num_inputs=1 must be from 2 to 1024",
    "--num_test=0": "num_test=0 must be from 1 to",
    "--learning_rates=0": "learning_rates=0.0 must be numbers above 0",
    "--bandwidths=-1": "bandwidths=-1.0 must be numbers above 0",
}


class TestDeepQuadratic(ExperimentLaws):
    name = "deep_quadratic"
    flags = (
        "--num_inputs=8",
        "--num_terms=4",
        "--depth=2",
        "--num_train=30,400",
        "--num_seeds=2",
        "--num_test=500",
        "--num_steps=100",
        "--width=16",
        "--num_blocks=1",
        "--learning_rates=0.01",
        "--bandwidths=1",
    )
    bad = BAD

    def test_all_terms_are_found_of_enough_examples(self, finished):
        summary = jobs.summary_of(finished[0])
        assert set(summary["supports_found"]) == {"30", "400"}
        assert set(summary["supports_found"]["30"]) == {"mean", "std", "max", "per_seed", "min"}
        assert summary["supports_found"]["400"]["per_seed"] == [1, 1]
        assert summary["supports_wrong"]["400"]["max"] == 0
        words = "n = 400: 100.0% of 4 terms are found layer by layer, all of them in 2 of 2 seeds"
        assert words in finished[1].out
        assert set(summary["test_error"]) == set(LEARNERS)
        for errors in summary["test_error"].values():
            assert set(errors) == {"30", "400"}
            assert set(errors["400"]) == {"mean", "std", "max", "per_seed"}
        assert summary["test_error"]["layerwise"]["400"]["max"] < 1e-6
        by_layer = summary["measures"]["layerwise_400"]
        assert [each["supports_found"]["mean"] for each in by_layer] == [0.75, 1]
        assert set(summary["chosen"]["end_to_end"]["400"]) == {"learning_rate", "steps"}
        assert set(summary["chosen"]["kernel"]["400"]) == {"kernel", "ridge"}
        for name in ("num_inputs", "num_terms", "depth", "num_test", "seed", "batch_size"):
            assert name in summary

    def check_figure(self, axes, summary):
        errors, found = axes
        assert legend_of(errors) == [plain(name) for name in LEARNERS]
        for name in LEARNERS:
            *seeds, mean = lines_of(errors, COLOURS[name])
            assert len(seeds) == 2
            assert mean.get_label() == plain(name)
            means = [summary["test_error"][name][n]["mean"] for n in ("30", "400")]
            np.testing.assert_allclose(mean.get_ydata(), means, rtol=1e-6)
        *seeds, mean = lines_of(found, COLOURS["layerwise"])
        assert len(seeds) == 2
        means = [summary["supports_found"][n]["mean"] for n in ("30", "400")]
        np.testing.assert_allclose(mean.get_ydata(), means, rtol=1e-6)
