import numpy as np

from tests.experiments import jobs
from tests.experiments.laws import ExperimentLaws, legend_of, lines_of, plain

BAD = {
    "--learners=shallow": "learners",
    "--num_train=64,16": "num_train=64,16 must be numbers",
    "--num_train=2000 --depth=2": "num_train=2000 is larger than the language of 1024 strings",
    "--num_heads=3": "num_heads=3 must divide width=64",
    "--patience=0": "patience=0 must be",
    "--num_labels=301 --num_train=300": "num_labels=301 are more than num_train=300 strings",
    "--objective=last": "value should be one of <next|masked>",
    "--context_span=left": "value should be one of <siblings|all>",
    "--num_rules=16 --learners=corrected": "all 256 tuples of level 2 have a rule",
    "--num_rules=16": "all 256 tuples of level 2 have a rule, so siblings tell nothing",
    "--depth=1 --num_train=4 --num_test=4": "depth=1 leaves no level between root and leaves",
}
FINDERS = ("context", "corrected", "context blocks")
LEARNERS = ("context", "corrected", "context_blocks", "greedy")


class TestLayerwiseTokens(ExperimentLaws):
    name = "layerwise_tokens"
    flags = (
        "--num_classes=6",
        "--vocab_size=6",
        "--num_rules=2",
        "--depth=3",
        "--learners=context,corrected,context_blocks,greedy",
        "--num_train=300",
        "--num_test=100",
        "--num_steps=200",
        "--context_num_features=64",
        "--readout_width=16",
        "--width=8",
        "--num_blocks=2",
        "--num_heads=2",
        "--learning_rate=0.02",
        "--num_seeds=2",
    )
    bad = BAD

    def test_what_is_found_without_labels_brings_it_near_to_exact_inference(self, finished):
        summary = jobs.summary_of(finished[0])
        context, corrected, blocks, greedy = summary["points"]
        assert [level["per_seed"] for level in context["purity"]] == [[1, 1], [1, 1]]
        assert greedy["purity"] is None
        # By chance, and with the wrong sibling, a symbol of six is told in less than a third.
        assert all(level["mean"] > 0.5 for level in blocks["purity"])
        # Guessing every token alike is this much above it, and more.
        guess = 8 * np.log(6) - sum(summary["floor"])
        for point, num_layers in ((context, 2), (corrected, 2), (blocks, 2), (greedy, 2)):
            layers = point["excess_after_layer"]
            assert (len(layers), layers[-1]) == (num_layers, point["excess"])
            assert 0 < layers[-1]["mean"] < guess / 2
            np.testing.assert_allclose(
                layers[-1]["mean"], sum(point["excess_by_position"]), rtol=1e-5
            )
        assert context["excess"]["max"] < min(greedy["excess"]["per_seed"])
        assert [each["level"] for each in summary["thresholds"]] == [2, 1]
        assert context["spans_found"] == [1, 1, 1]
        before, after = corrected["excess_after_layer"]
        assert after["mean"] < before["mean"]
        assert greedy["class_errors"] is greedy["spans_found"] is None
        errors = [each["mean"] for each in context["class_errors"]]
        assert errors[-1] < 0.1 < errors[0] < summary["chance_error"]
        assert summary["scale"] == 6 * 2**3 / (1 - 2 / 6)

    def check_figure(self, axes, summary):
        found, above, classes = axes
        assert legend_of(found) == [f"{level}, {name}" for name in FINDERS for level in (2, 1)]
        assert legend_of(above) == [plain(name) for name in LEARNERS]
        *seeds, below, mean = lines_of(above, "tab:blue")
        assert len(seeds) == 2
        assert below.get_ydata()[0] > mean.get_ydata()[0]
        assert mean.get_ydata()[0] == summary["points"][0]["excess"]["mean"]
        assert legend_of(classes) == ["300 strings"]
        np.testing.assert_array_equal(classes.lines[-1].get_xdata(), [6, 12, 24, 48])
        (purity,) = found.lines[2].get_ydata()
        assert purity == summary["points"][0]["purity"][0]["mean"]
