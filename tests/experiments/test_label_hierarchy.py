import numpy as np
import pytest

from hierjax.runs import LayerCheckpoints
from tests.experiments import jobs
from tests.experiments.laws import ExperimentLaws, Stopped, ticks_of


def check_accuracies(axes, summary, learners):
    """Cells of both halves of the figure, in order."""
    blocks, others = axes[:2]
    np.testing.assert_allclose(blocks.images[0].get_array(), summary["accuracy"])
    rows = [summary["baselines"][name]["accuracy"] for name in learners]
    np.testing.assert_allclose(others.images[0].get_array(), [*rows, summary["chance"]])
    names = [name.replace("_", " ") for name in learners]
    assert ticks_of(others.get_yticklabels()) == [*names, "chance"]
    assert ticks_of(others.get_xticklabels()) == ["1", "2"]
    assert blocks.get_xlabel() == others.get_xlabel() == "level of the labels"
    curves = {line.get_label(): line.get_ydata() for line in axes[2].lines}
    several = [n for n, each in summary["collapse"].items() if len(each["compression"]) > 1]
    assert several[0] == "layerwise"
    for name in several:
        rows = [each["per_seed"] for each in summary["collapse"][name]["compression"]]
        found = curves[name.replace("_", " ")]
        np.testing.assert_allclose(found, np.exp(np.log(rows).mean(axis=1)))


BAD_HIERARCHIES = {
    "--task=xor": "value should be one of <cnot|tof|mix|ptf|automaton>",
    "--num_inputs=7": "num_inputs=7 must be even",
    "--labels_per_level=13": "labels_per_level=13 must be from 1 to 12",
    "--depth=0": "depth=0 must be at least 1",
    "--task=automaton --num_inputs=2": "window of 2 * 1 + 1 locations is wider than the side 2",
    "--task=automaton --rule=256": "rule=256 must be from 0 to 255",
    "--task=automaton --labels_per_level=2": "--labels_per_level is for --task cnot or tof",
    "--rule=30": "--rule is for --task automaton, not cnot",
    "--task=ptf --fan_in=4": "fan_in=4 must be odd",
    "--task=ptf --ptf_kind=random --degree=4": "degree=4 must be at most fan_in=3",
    "--task=ptf --fan_in=25": "fan_in=25 is more than the 24 nodes below",
    "--task=ptf --ptf_kind=and --fan_in=5 --depth=1": "of level 1 none had a rarer sign on",
    "--task=ptf --degree=3": "--degree is for --ptf_kind random: drop it",
    "--passes=1e13": "passes=10000000000000.0 must be above 0 and at most",
    "--num_train=3000000000": "num_train=3000000000 must be from 16 to",
    "--num_inputs=1000000": "num_inputs=1000000 must be at most 1024",
    "--solver=ridge --loss=hinge": "solver='ridge' is for loss='square'",
    "--unit_fan_in=99": "fan_in=99 must be from 1 to 85, the numbers that a unit can read",
    "--num_train=3": "num_train=3 must be from 16 to",
    "--unit_fan_in=1": "makes quadratic units of signs constant",
    "--solver=ridge --passes=2": "--passes is for --solver sgd or adam, not ridge",
    "--num_blocks=0": "num_blocks=0 must be from 1 to 1024",
    "--width=0": "width=0 must be from 1 to 131072",
    "--depth=60": "the most for --solver sgd",
    "--batch_size=0": "batch_size=0 must be from 1 to",
    "--baseline_learning_rates=": "baseline_learning_rates= is empty",
    "--examples_per_unit=0": "examples_per_unit=0.0 must be above 0",
}


class TestLabelHierarchy(ExperimentLaws):
    name = "label_hierarchy"
    flags = (
        "--num_inputs=8",
        "--depth=2",
        "--num_seeds=3",
        "--num_test=300",
        "--nobaselines",
        "--num_train=600",
        "--passes=10",
        "--batch_size=64",
    )
    bad = BAD_HIERARCHIES

    def test_a_small_run_climbs_its_hierarchy(self, finished):
        workdir, result = finished
        assert "layer 2 of 2" in result.out
        summary = jobs.summary_of(workdir)
        accuracy = np.array(summary["accuracy_per_seed"])
        assert accuracy.shape == (3, 2, 2)
        np.testing.assert_allclose(accuracy.mean(axis=0), summary["accuracy"], rtol=1e-6)
        assert summary["ahead"] == [summary["accuracy"][0][1]]
        assert summary["ahead"][0] < 0.7
        assert summary["accuracy"][0][0] > 0.98
        assert summary["accuracy"][1][1] > 0.95
        assert summary["accuracy_min_label"][1][1] <= summary["accuracy"][1][1]
        assert all(0.5 <= chance < 0.6 for chance in summary["chance"])
        found = summary["collapse"]["layerwise"]
        # The stream has 8 signs, and the labels that are known, of which some may be the same.
        for block, rank in enumerate(found["rank"], 1):
            assert 8 <= min(rank["per_seed"]) <= rank["max"] <= 8 + 4 * block
        # The means of both signs are opposite where a label is known.
        first, last = (each["mean"] for each in found["discrimination"])
        assert first < 1.7 < last < 2.01
        assert found["compression"][1]["max"] < found["compression"][0]["mean"]
        assert set(summary["seconds"]) == {"compile", "run"}
        assert set(summary["tuning"]) >= {"penalty", "shallow_width", "learning_rates"}

    def test_a_fit_that_is_stopped_between_rounds_goes_on(self, finished, monkeypatch, tmp_path):
        save = LayerCheckpoints.save_rounds

        def save_one(checkpoints, index, state):
            save(checkpoints, index, state)
            if index == 1:
                raise Stopped("by a test")

        with monkeypatch.context() as patch:
            patch.setattr(LayerCheckpoints, "save_rounds", save_one)
            assert jobs.run(self.name, tmp_path, *self.flags).code == 1
        rounds = tmp_path / "checkpoints" / "layerwise" / "rounds_1"
        assert list(rounds.iterdir())
        result = jobs.succeed(self.name, tmp_path, *self.flags)
        assert "layers finished: layerwise 1 of 2" in result.out
        whole, resumed = (jobs.summary_of(each) for each in (finished[0], tmp_path))
        assert jobs.without_costs(resumed) == jobs.without_costs(whole)
        assert not rounds.exists()

    @pytest.mark.parametrize(
        ("flags", "expected"),
        [
            ({}, ("cnot", 5, "square", 4, 256)),
            ({"task": "automaton"}, ("automaton", 8, "hinge", 2, 64)),
            (
                {"task": "automaton", "depth": 3, "loss": "square"},
                ("automaton", 3, "square", 2, 64),
            ),
            ({"task": "tof", "solver": "ridge"}, ("tof", 5, "square", None, None)),
        ],
    )
    def test_what_follows_from_the_task_yields_to_flags(self, flags, expected):
        request = self.experiment.make_request(**flags)
        block = request.block
        found = (request.task.kind, request.task.depth, block.loss, block.passes, block.batch_size)
        known = [each for each in expected if each is not None]
        assert [
            each for each, want in zip(found, expected, strict=True) if want is not None
        ] == known

    def test_units_may_read_all_that_there_is(self):
        assert self.experiment.make_request(unit_fan_in=0).stack.fan_in is None

    def check_figure(self, axes, summary):
        check_accuracies(axes, summary, [])


BAD_DUMPS = {
    "--votes=2": "votes=2 must be",
    "--fan_in=0": "fan_in=0 must be",
    "--gates_per_level=0": "gates_per_level=0 must be",
    "--num_inputs=1025": "num_inputs=1025 must be at most 1024",
    "--labels_per_level=0": "labels_per_level=0 must be",
}


class TestBrainDump(ExperimentLaws):
    name = "brain_dump"
    flags = (
        "--num_inputs=6",
        "--depth=2",
        "--gates_per_level=6",
        "--labels_per_level=8",
        "--num_seeds=2",
        "--num_train=1500",
        "--solver=ridge",
        "--extra_blocks=0",
        "--num_test=500",
        "--baseline_width=64",
        "--baseline_shallow_width=256",
        "--baseline_min_steps=50",
        "--baseline_max_steps=100",
    )
    fewer = ("--nobaselines",)
    bad = BAD_DUMPS

    def test_it_is_learned_and_compared(self, finished):
        summary = jobs.summary_of(finished[0])
        assert np.shape(summary["accuracy"]) == (2, 2)
        assert min(summary["accuracy"][1]) > 0.95
        names = {"linear", "shallow", "end_to_end", "end_to_end_top"}
        assert set(summary["baselines"]) == names
        for learner in summary["baselines"].values():
            assert np.shape(learner["accuracy"]) == (2,)
            assert np.shape(learner["accuracy_per_seed"]) == (2, 2)
        assert len(summary["baselines"]["end_to_end"]["learning_rate"]) == 2
        by_votes = summary["recovery_by_votes"]
        assert by_votes["votes_per_gate"] == [2, 5, 10, 20]
        assert np.mean([level["mean"] for level in by_votes["vote_sum"][-1]]) > 0.95
        assert "gate values that sums of votes recover, by votes a gate, 2: " in finished[1].out
        for levels in summary["gate_recovery"].values():
            assert len(levels) == 2
            assert min(levels) > 0.7

    def check_figure(self, axes, summary):
        check_accuracies(axes, summary, ["linear", "shallow", "end_to_end", "end_to_end_top"])
