import numpy as np

from experiments import neural_representations
from hierjax.runs import POLYNOMIAL_LEARNERS
from tests.experiments import jobs
from tests.experiments.laws import ExperimentLaws, legend_of, lines_of, plain

LEARNERS = ("ntk_rep", "quad_rep")


BAD = {
    "--rank=17": "rank=17 must be from 1 to 16, the dimension of the input",
    "--degree=0": "degree=0 must be from 1 to 12",
    "--input_dim=1": "input_dim=1 must be from 2 to",
    "--noise=-1": "noise=-1.0 must be",
    "--target=cubic": "--target=cubic: value should be one of <hermite|monomial|mixed>",
    "--num_train=500,100": "num_train=500,100 must be numbers from 16 to 4194304 that ascend",
    "--num_train=100,100": "that ascend",
    "--num_train=many": "num_train=many must be whole numbers from 16",
    "--num_train=1e3": "num_train=1e3 must be whole numbers",
    "--num_train=": "num_train= is empty",
    "--num_train=4000000": "seeds at once, and",
    "--representation=sigmoid": "value should be one of <quadratic|relu|erf|indicator>",
    "--width=100": "width=100 must be from 153, the directions that are whitened, to 131072",
    "--num_directions=0": "num_directions=0 must be from 1 to 131072",
    "--learners=ntk": "learners=ntk must be different ones of ntk_raw, quad_raw",
    "--learners=ntk_raw,ntk_raw": "must be different ones",
    "--learners=": "learners= must be different ones of ntk_raw",
    "--width=131072 --num_directions=100000 --num_train=1000000": "seeds at once, and",
    "--num_test=0": "num_test=0 must be from 16 to",
    "--quad_activations=sigmoid": "quad_activations=sigmoid must be different ones of",
    "--ntk_ridges=-1": "ntk_ridges=-1.0 must be numbers at least 0",
}


class TestNeuralRepresentations(ExperimentLaws):
    name = "neural_representations"
    flags = (
        "--input_dim=3",
        "--degree=2",
        "--num_train=60",
        "--num_seeds=2",
        "--num_test=200",
        "--num_steps=100",
        "--learners=ntk_rep,quad_rep",
        "--quad_widths=16",
    )
    bad = BAD

    def test_learners_are_compared_at_each_number_of_examples(self, finished):
        summary = jobs.summary_of(finished[0])
        assert summary["num_train"] == [60]
        np.testing.assert_allclose(summary["variance_by_degree"], [0, 0, 1], atol=1e-6)
        for learner in LEARNERS:
            error = summary["test_error"][learner]["60"]
            assert set(error) == {"mean", "std", "max", "per_seed"}
            assert len(error["per_seed"]) == 2
            assert error["mean"] < 0.2
            # What is found of a target of one degree only is what is not erred on, and no more.
            assert summary["explained_by_degree"][learner]["60"][2] > 0.7
            assert summary["seconds"][learner]["60"]["run"] > 0
        assert set(summary["chosen"]["ntk_rep"]["60"]) == {"kernel", "ridge"}
        chosen = summary["chosen"]["quad_rep"]["60"]
        assert {"activation", "width", "learning_rate", "penalty", "num_steps"} <= set(chosen)
        assert all(len(values) == 2 for values in chosen.values())
        assert len(summary["ntk"]["networks"]) == 6

    def test_directions_that_a_representation_lacks_are_named(self, finished):
        """On the sphere |x|^2 is constant: of 10 monomials of degree 2 and less one is no other."""
        workdir, result = finished
        words = "10.0% of the 10 directions of the representation are below the floor"
        assert words in result.out
        np.testing.assert_allclose(jobs.summary_of(workdir)["dropped"]["ntk_rep"]["60"], 0.1)

    def check_figure(self, axes, summary):
        errors, found = axes
        assert legend_of(errors) == [plain(name) for name in LEARNERS]
        for name in LEARNERS:
            colour = POLYNOMIAL_LEARNERS[name].colour
            *seeds, mean = lines_of(errors, colour)
            assert len(seeds) == 2
            assert mean.get_label() == plain(name)
            error = summary["test_error"][name]["60"]["mean"]
            np.testing.assert_allclose(mean.get_ydata(), [error], rtol=1e-6)
            (line,) = lines_of(found, colour)
            explained = summary["explained_by_degree"][name]["60"]
            np.testing.assert_allclose(line.get_ydata(), explained[-1:], rtol=1e-6)


BAD_THRESHOLDS = {
    "--input_dims=16,8": "input_dims=16,8 must be numbers from 2 to 256 that ascend",
    "--train_multiples=0,1": "train_multiples=0,1 must be numbers from 1 to 4096",
    "--level=2": "level=2.0 must be from 0 to 1",
    "--input_dims=2 --train_multiples=1": "make 4 train examples, fewer than 16",
    "--num_steps=5000000000": "num_steps=5000000000 must be from 1 to",
    "--input_dims=256": "seeds at once, and",
}


class TestRepresentationThresholds(ExperimentLaws):
    name = "representation_thresholds"
    flags = ("--input_dims=4", "--train_multiples=1,8", "--num_seeds=2", "--learners=ntk_raw")
    bad = BAD_THRESHOLDS

    def test_no_law_is_claimed_of_one_dimension(self, finished):
        summary = jobs.summary_of(finished[0])
        assert "no exponent" in finished[1].out
        assert set(summary["thresholds"]["ntk_raw"]["4"]) == {"value", "low", "high"}
        assert summary["fits"]["ntk_raw"]["exponent"] is None
        assert summary["dimensions"]["4"]["test_error"]["ntk_raw"]["128"]["mean"] < 0.1

    def check_figure(self, axes, summary):
        (axis,) = axes
        assert legend_of(axis) == ["ntk raw"]
        (mark,) = lines_of(axis, POLYNOMIAL_LEARNERS["ntk_raw"].colour)[:1]
        value = summary["thresholds"]["ntk_raw"]["4"]["value"]
        sizes = summary["dimensions"]["4"]["num_train"]
        assert mark.get_xdata()[0] == 4
        assert mark.get_ydata()[0] == (value if value > sizes[0] else sizes[0])


def test_mixed_targets_bring_their_width_and_an_activation_that_is_not_even():
    request = neural_representations.EXPERIMENT.make_request(target="mixed")
    assert (request.task.rank, request.width, request.num_directions) == (4, 16**2, 153)
    assert "squared_relu" in request.quad.activations
    fewer = neural_representations.EXPERIMENT.make_request(target="mixed", degree=3, rank=2)
    assert (fewer.task.degrees, fewer.width, fewer.num_directions) == ((3, 2), 64, 64)
    ours = neural_representations.EXPERIMENT.make_request()
    assert (ours.width, ours.num_directions) == (306, 153)
