import dataclasses

import jax
import numpy as np
import pytest

from experiments import parity_budget
from hierjax.runs import seed_keys
from tests.experiments import jobs
from tests.experiments.laws import ExperimentLaws, legend_of, lines_of

BAD = {
    "--degrees=31": "degree=31 must be from 1 to 30, the number of inputs",
    "--degrees=4,3": "degrees=4,3 must be numbers at least 1 that ascend",
    "--degrees=": "degrees= is empty",
    "--level=.1": "level=0.1 must be below 1/12, the error of a staircase of degree 12 that lacks",
    "--level=0": "level=0.0 must be above 0 and below 1",
    "--num_steps=0": "num_steps=0 must be from 1",
}


def test_a_seed_that_learns_in_the_last_round_has_learned():
    request = parity_budget.EXPERIMENT.make_request(num_steps=400)
    values = {
        "test_error": np.array([0.06, 1.0, 0.01, 0.02]),  # The first stopped just below the level.
        "steps": np.array([100, 400, 400, 200]),
    }
    found = parity_budget._of_point(request, values, [50, 100, 200, 400])
    assert found["steps"] == [100, None, 400, 200]
    assert found["share"] == [0, 0.25, 0.5, 0.75]


class TestParityBudget(ExperimentLaws):
    name = "parity_budget"
    flags = (
        "--num_inputs=8",
        "--degrees=1,6",
        "--num_steps=160",
        "--steps_per_look=20",
        "--num_seeds=2",
        "--width=16",
        "--num_blocks=1",
        "--num_test=500",
    )
    bad = BAD

    def test_the_share_of_seeds_that_learn(self, finished):
        summary = jobs.summary_of(finished[0])
        assert summary["budgets"] == [20, 40, 80, 160]
        one, six = (summary["targets"]["parity"][degree] for degree in "16")
        assert one["steps"] == summary["targets"]["staircase"]["1"]["steps"]  # The same target.
        assert one["share"][-1] == 1
        assert one["test_error"]["max"] < 0.1
        assert six["steps"] == [None, None]
        assert six["share"] == [0, 0, 0, 0]
        assert six["test_error"]["mean"] > 0.8
        assert "parity, degree 6                0       0       0       0  of 2" in finished[1].out

    def test_what_is_learned_does_not_depend_on_how_long_one_would_have_waited(self, finished):
        found = jobs.summary_of(finished[0])["targets"]["parity"]["1"]
        steps = found["steps"][0]
        request = self.experiment.make_request(
            num_inputs=8, degrees=(1,), width=16, num_blocks=1, num_test=500, num_seeds=2
        )
        request = dataclasses.replace(request, num_steps=steps, steps_per_look=20)
        point = parity_budget.Cell(request, "parity", 1).point()
        key = seed_keys(0, 1)[0]
        values = jax.jit(lambda key: point.measure(key, point.draw(key)))(key)
        assert int(values["steps"]) == steps
        expected = found["test_error"]["per_seed"][0]
        assert float(values["test_error"]) == pytest.approx(expected, rel=1e-2)

    def check_figure(self, axes, summary):
        shares, steps = axes
        budgets = [f"{n} steps" for n in (20, 40, 80, 160)]
        assert legend_of(shares) == ["staircase", "parity", *budgets]
        for index, line in enumerate(lines_of(shares, "tab:red")):
            expected = [summary["targets"]["parity"][k]["share"][index] for k in "16"]
            np.testing.assert_array_equal(line.get_ydata(), expected)
        assert legend_of(steps) == ["staircase", "parity"]
        assert "2" in [text.get_text() for text in steps.texts]  # Seeds that were given up.
