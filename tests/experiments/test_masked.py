import types

import jax
import jax.numpy as jnp
import numpy as np

from experiments import masked
from tests.experiments import jobs
from tests.experiments.laws import ExperimentLaws, legend_of

BAD = {
    "--rate=0": "rate=0.0 must be above 0",
    "--rate=1.5": "rate=1.5 must be",
    "--rule_spread=-1": "rule_spread=-1.0 must be",
    "--depth=2": "num_train=131072 is larger than the language of 256 strings",
    "--filter_level=5": "filter_level=5 must be from 1, the children of the root, to depth=4",
    "--num_heads=3": "width=64 cannot be divided between num_heads=3",
    "--num_rules=5": "level 0 needs 4 symbols * 5 rules = 20 distinct tuples",
}


class TestMasked(ExperimentLaws):
    name = "masked"
    flags = (
        "--depth=3",
        "--rule_spread=3",
        "--rate=0.3",
        "--num_train=2000",
        "--num_test=200",
        "--num_blocks=1,2",
        "--width=16",
        "--batch_size=64",
        "--num_steps=200",
        "--steps_per_round=10",
        "--num_looks=5",
        "--learning_rate=0.01",
        "--num_seeds=2",
    )
    bad = BAD

    def test_inference_that_knows_fewer_levels_is_worse(self, finished):
        floors = [each["mean"] for each in jobs.summary_of(finished[0])["floors"]]
        assert len(floors) == 4
        assert (np.diff(floors) > 0).all()

    def test_a_model_comes_near_to_ever_more_levels(self, finished):
        summary = jobs.summary_of(finished[0])
        for point in summary["points"]:
            divergence = np.array(point["curve"]["divergence"])
            assert divergence.min() > 0
            # Frequencies first: in the end it is farther from a filter at the leaves than before.
            assert (divergence[:, -1, 3] > divergence[:, :, 3].min(axis=1)).all()
            assert (divergence[:, -1, 0] < divergence[:, 0, 0] / 2).all()
            nearest = np.array(point["nearest"])
            assert (nearest[:, 1] == 3).all()
            assert (nearest[:, -1] < 3).all()
            first = np.array(point["nearest_from"], float)
            assert (first[:, 3] <= 10).all()
            assert (first[:, 2] > 10).all()

    def test_excess_is_the_cross_entropy_above_exact_inference(self, finished):
        summary = jobs.summary_of(finished[0])
        for point in summary["points"]:
            last = np.array(point["curve"]["cross_entropy"])[:, -1]
            more = last - summary["floors"][0]["per_seed"]
            np.testing.assert_allclose(point["excess"]["per_seed"], more, atol=1e-5)

    def check_figure(self, axes, summary):
        losses, near, end = axes
        assert legend_of(losses) == legend_of(end) == ["1 block", "2 blocks"]
        dashed = [line.get_ydata()[0] for line in losses.lines if line.get_linestyle() == "--"]
        np.testing.assert_allclose(dashed, [each["mean"] for each in summary["floors"]])
        filters = [f"filtered at level {level}" for level in (3, 2, 1)]
        assert legend_of(near) == [*filters, "not filtered"]
        for point, line in zip(summary["points"], end.lines, strict=True):
            means = [each["mean"] for each in point["divergence"]]
            np.testing.assert_allclose(line.get_ydata(), means)


def test_a_model_that_is_filtered_inference_has_its_floor_and_no_divergence():
    request = masked.EXPERIMENT.make_request(depth=2, num_train=50, num_test=40, rate=0.5)

    @jax.jit
    def beside(key):
        data = masked.draw(key, request)

        def as_model(level):
            """What is measured takes models as layers of layers."""
            answer = jnp.log(jnp.maximum(data.answers[level], 1e-30))
            layer = types.SimpleNamespace(apply=lambda params, inputs: answer)
            return masked._beside(types.SimpleNamespace(layer=layer), data, None)

        return [as_model(level) for level in range(3)], data.floors

    found, floors = beside(jax.random.key(0))
    for level, each in enumerate(found):
        np.testing.assert_allclose(each["cross_entropy"], floors[level], rtol=1e-5)
        np.testing.assert_allclose(each["divergence"][level], 0, atol=1e-5)
        assert (np.delete(each["divergence"], level) > 1e-3).all()
