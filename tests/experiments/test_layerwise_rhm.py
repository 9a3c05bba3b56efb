import shutil

import numpy as np
import pytest

from experiments import layerwise_rhm
from hierjax.runs import STRING_LEARNERS, RunFolder
from tests.experiments import jobs
from tests.experiments.laws import ExperimentLaws, config_of, lines_of, plain, ticks_of

NUM_TEST = 128
NAMES = ("layerwise", "end_to_end", "shallow", "kernel")


def wrong(workdir, learner="layerwise"):
    """Wrong test strings of each seed."""
    per_seed = jobs.summary_of(workdir)["learners"][learner]["test_error"]["per_seed"]
    return np.array(per_seed) * NUM_TEST


BAD = {
    "--num_rules=17": "level 0 needs 8 symbols * 17 rules = 136 distinct tuples",
    "--depth=0": "depth=0",
    "--num_test=-3": "num_test=-3",
    "--rule_draw=first": "--rule_draw=first: value should be one of <uniform|uniform_first>",
    "--rule_draw=uniform_first --num_classes=6 --num_rules=3": "a multiple of 8",
    "--num_train=999999": "larger than the language of 131072 strings",
    "--train_multiple=nan": "train_multiple=nan must be above 0 and at most 1048576.0 and finite",
    "--train_multiple=inf": "train_multiple=inf must be above 0 and at most 1048576.0 and finite",
    "--train_multiple=2 --num_train=100": "give only one",
    "--vocab_size=8,8": "vocab_size lists 2 numbers for depth=3",
    "--vocab_size=eight": "--vocab_size=eight",
    "--vocab_size=": "vocab_size= is empty",
    "--solver=newton": "value should be one of <gd|ridge|ridge_gd|sgd|adam>",
    "--penalty=0.1": "--penalty is for --solver ridge or ridge_gd, not gd: drop it",
    "--solver=ridge --penalty=0": "penalty=0.0 must be above 0",
    "--bandwidth_from=smallest --bandwidth=1": "--bandwidth is for --bandwidth_from rms, not smal",
    "--normalizer=sum": "set raw_targets",
    "--features=kernel": "set targets to first and solver to ridge",
    "--split_strings --num_train=10": "10 train strings leave none for a layer of its own",
    "--learner=kernel": "--learner=kernel: value should be one of <layerwise|one_step|clustering>",
    "--targets=last": "last",
    "--data_parallel --batch_size=12": "a batch of 12 cannot be divided between 8",
    "--data_parallel --model_parallel=3": "model_parallel=3 does not divide the number of dev",
    "--batch_size=12 --parts=5": "batch_size=12 cannot be cut into parts=5",
    "--model_parallel=2": "--model_parallel=2 needs --data_parallel",
    "--leaf_flip=1.5": "leaf_flip=1.5 must be from 0 to 1",
    "--filter_level=4": "filter_level=4 must be from 1, the children of the root, to depth=3",
    "--filter_level=2": "filter_level=2 leaves no symbols at level 1",
    "--leaf_mask=nan": "leaf_mask=nan must be from 0 to 1",
    "--precision=half": "value should be one of <float32|bfloat16>",
    "--precision=bfloat16 --solver=ridge": "solver=ridge leave it at float32",
    "--precision=bfloat16 --learner=one_step": "precision=bfloat16 is not for counts of tuples",
    "--data_parallel --nobaselines": "drop --nobaselines",
    "--nobaselines --batch_size=0": "batch_size=0 must be from 1 to",
    "--width=-2": "width=-2 must be from 1 to 65536",
    "--preset=mine": "mine",
    "--top_rule=latin_square": "Latin-square",
    "--kernel_ridges=-1": "kernel_ridges=-1.0 must be numbers",
    "--learning_rates=0.1,nan": "learning_rates=0.1,nan must be numbers",
}


class TestLayerwiseRHM(ExperimentLaws):
    """With the other learners, tuned as they are by default."""

    name = "layerwise_rhm"
    flags = (
        "--num_rules=3",
        "--vocab_size=4",
        "--num_classes=4",
        "--branching=3",
        "--depth=2",
        "--num_seeds=3",
        "--num_train=180",
        f"--num_test={NUM_TEST}",
        "--num_features=32",
        "--shallow_min_steps=600",
    )
    fewer = ("--nobaselines",)
    bad = BAD

    def test_the_summary_says_all(self, finished):
        workdir, result = finished
        assert "layer 2 of 2" in result.out
        assert "errors on unseen strings, chance 0.750, 3 seeds" in result.out
        layers = workdir / "checkpoints" / "layerwise" / "layers"
        assert {path.name for path in layers.iterdir()} == {"0", "1"}
        summary = jobs.summary_of(workdir)
        assert summary["num_train"] == 180
        assert summary["predicted_num_train"] == 4 * 3**2
        assert summary["train_multiple"] == 5
        assert summary["chance_error"] == 0.75
        assert set(summary["learners"]) == set(NAMES)
        assert "first patches of levels 1 to 2: coverage 1.00 " in result.out
        conditions = summary["conditions"]
        for name in ("coverage", "kappa", "k_rho"):
            assert len(conditions[name]) == 2
            assert all(len(level["per_seed"]) == 3 for level in conditions[name])
        # Classes are as frequent, and one-hot.
        assert conditions["coverage"][0]["min"] == pytest.approx(1)
        assert conditions["k_rho"][0]["max"] == pytest.approx(6**0.5)
        assert summary["skipped"] == {}
        for name, learner in summary["learners"].items():
            assert set(learner) == {"test_error", "excess_error", "train_loss", "seconds", "chosen"}
            assert learner["excess_error"] == learner["test_error"]
            errors = np.array(learner["test_error"]["per_seed"])
            assert errors.shape == (3,)
            assert learner["test_error"]["mean"] == errors.mean()
            assert learner["test_error"]["max"] == errors.max()
            assert set(learner["seconds"]) == {"compile", "run"}
            assert f"\n{name} " in result.out
        assert set(summary["learners"]["kernel"]["chosen"]) == {"kernel", "ridge"}
        assert len(summary["learners"]["end_to_end"]["chosen"]["learning_rate"]) == 3
        for name in ("config", "network", "shallow", "kernel"):
            assert summary[name]
        assert [level["level"] for level in summary["levels"]] == [1, 0]
        for level in summary["levels"]:
            assert 0.25 < level["purity"] <= 1
            assert 0 < level["between_min"] <= level["between_mean"]

    def test_strings_gather_around_their_classes_layer_by_layer(self, finished):
        """One level up, strings are nearer to their classes."""
        found = jobs.summary_of(finished[0])["collapse"]
        assert set(found) == {"layerwise", "end_to_end"}
        for learner in found.values():
            compression = [each["mean"] for each in learner["compression"]]
            assert len(compression) == len(learner["rank"]) == 2
            assert compression[0] > 2 * compression[1]
        assert found["layerwise"]["compression"][1]["max"] < 0.2
        assert found["layerwise"]["discrimination"][1]["mean"] > 0.8
        # Embeddings of V - 1 numbers at each of 3 places; on top C shares that add up.
        assert [each["mean"] for each in found["layerwise"]["rank"]] == [9, 3]
        lines = [line for line in finished[1].out.splitlines() if line.startswith("end_to_end ")]
        assert [line.split()[1] for line in lines] == ["1", "2"]

    def test_the_other_learners_learn(self, finished):
        """At rates a hundredth of theirs, or a ridge of 10, they err on .3 to .5 of the strings."""
        learners = jobs.summary_of(finished[0])["learners"]
        errors = {name: learner["test_error"]["mean"] for name, learner in learners.items()}
        assert errors["layerwise"] < 0.02
        assert errors["end_to_end"] < 0.05
        assert errors["shallow"] < 0.15
        assert errors["kernel"] < 0.2
        for learner in learners.values():
            assert learner["train_loss"] < 0.2

    def check_figure(self, axes, summary):
        layers, learners, *planes, compression = axes
        colour = STRING_LEARNERS["layerwise"].colour
        *seeds, mean = lines_of(layers, colour)
        assert len(seeds) == 3
        errors = [level["test_error"]["mean"] for level in summary["levels"]]
        np.testing.assert_allclose(mean.get_ydata(), errors, rtol=1e-6)
        assert ticks_of(learners.get_xticklabels()) == [plain(name) for name in NAMES]
        for place, name in enumerate(NAMES):
            seeds, mean = lines_of(learners, STRING_LEARNERS[name].colour)
            error = summary["learners"][name]["test_error"]
            np.testing.assert_allclose(seeds.get_ydata(), sorted(error["per_seed"]))
            np.testing.assert_allclose(mean.get_ydata(), 2 * [error["mean"]])
            assert np.mean(mean.get_xdata()) == pytest.approx(place)
        titles = [axis.get_title() for axis in planes]
        assert titles == [f"layer {k + 1}: symbols of level {1 - k}" for k in range(2)]
        for name in ("layerwise", "end_to_end"):
            *_, mean = lines_of(compression, STRING_LEARNERS[name].colour)
            rows = [each["per_seed"] for each in summary["collapse"][name]["compression"]]
            np.testing.assert_allclose(mean.get_ydata(), np.exp(np.log(rows).mean(axis=1)))
        for axis in planes:
            assert sum(len(each.get_offsets()) for each in axis.collections) + sum(
                len(line.get_xdata()) for line in axis.lines
            )


class TestRuns:
    """What befalls the folder of a run: other flags, devices, kills, damage."""

    name = TestLayerwiseRHM.name
    flags = (*TestLayerwiseRHM.flags, "--num_steps=200", "--learning_rates=0.1")
    alone = (*flags, "--nobaselines")

    @pytest.fixture(scope="class")
    @classmethod
    def finished(cls, tmp_path_factory):
        """Folder of a finished run of the layerwise learner alone; to be read only."""
        workdir = tmp_path_factory.mktemp("alone") / "run"
        jobs.succeed(cls.name, workdir, *cls.alone)
        return workdir

    @pytest.fixture
    def copy(self, finished, tmp_path):
        return shutil.copytree(finished, tmp_path / "copy")

    @pytest.fixture(scope="class")
    @classmethod
    def compared(cls, finished, tmp_path_factory):
        """Another learner is added to a run that was finished without it."""
        workdir = tmp_path_factory.mktemp("compared") / "run"
        shutil.copytree(finished, workdir)
        with jobs.only_learners("layerwise", "end_to_end"):
            result = jobs.succeed(cls.name, workdir, *cls.flags)
        assert "layers finished: layerwise 2 of 2, end_to_end 0 of 1" in result.out
        return workdir

    def test_another_learner_is_added_to_a_finished_run(self, finished, compared):
        before, after = jobs.summary_of(finished), jobs.summary_of(compared)
        assert set(before["learners"]) == {"layerwise"}
        assert set(after["learners"]) == {"layerwise", "end_to_end"}
        assert after["learners"]["layerwise"] == before["learners"]["layerwise"]
        assert after["levels"] == before["levels"]

    def test_another_request_may_overwrite_a_run(self, finished, copy):
        (copy / "notes.txt").write_text("mine")
        result = jobs.succeed(self.name, copy, *self.alone, "--seed=1", "--overwrite")
        assert "taking up" not in result.out
        levels = [jobs.summary_of(each)["levels"] for each in (copy, finished)]
        assert levels[0] != levels[1]
        assert config_of(copy)["seed"] == 1
        assert (copy / "notes.txt").read_text() == "mine"

    def test_a_shared_batch_changes_nothing_but_rounding(self, compared, tmp_path):
        workdir = shutil.copytree(compared, tmp_path / "run")
        shutil.rmtree(workdir / "checkpoints" / "end_to_end")
        with jobs.only_learners("layerwise", "end_to_end"):
            more = ("--data_parallel", "--model_parallel=2", "--num_devices=4")
            jobs.succeed(self.name, workdir, *self.flags, *more)
        assert jobs.summary_of(workdir)["num_devices"] == 4
        assert np.abs(wrong(workdir, "end_to_end") - wrong(compared, "end_to_end")).max() <= 3
        assert np.array_equal(wrong(workdir), wrong(compared))

    def test_half_precision_is_for_some_learners_and_learns_as_well(self, compared, tmp_path):
        result = jobs.succeed(self.name, tmp_path, *self.flags, "--precision=bfloat16")
        assert "kernel: left out, precision=bfloat16 is not for the Gram matrix" in result.out
        for name in ("layerwise", "end_to_end"):
            errors = [wrong(each, name) / NUM_TEST for each in (tmp_path, compared)]
            assert abs(errors[0].mean() - errors[1].mean()) < 0.02 + errors[1].std()

    def test_with_noise_errors_are_read_against_exact_inference(self, tmp_path):
        noise = ("--leaf_flip=0.1", "--leaf_mask=0.1", "--label_flip=0.2")
        result = jobs.succeed(self.name, tmp_path, *self.alone, *noise)
        summary = jobs.summary_of(tmp_path)
        found, floor = summary["learners"]["layerwise"], summary["bayes_error"]
        assert 0.05 < floor["mean"] < found["test_error"]["mean"] < summary["chance_error"]
        excess = np.subtract(found["test_error"]["per_seed"], floor["per_seed"])
        np.testing.assert_allclose(found["excess_error"]["per_seed"], excess, atol=1e-6)
        assert "with leaf_flip 0.1, leaf_mask 0.1, label_flip 0.2 exact inference" in result.out

    def test_a_killed_run_ends_as_an_unbroken_one(self, finished, tmp_path):
        killed = jobs.command(self.name, tmp_path, *self.alone, "--num_devices=1")
        awaited = tmp_path / "checkpoints" / "layerwise" / "layers" / "0"
        jobs.kill_when(awaited.exists, killed)
        assert not (tmp_path / "summary.json").exists()
        jobs.succeed(self.name, tmp_path, *self.alone)
        whole, resumed = (jobs.summary_of(each) for each in (finished, tmp_path))
        assert jobs.without_costs(resumed) == jobs.without_costs(whole)
        assert len(jobs.events_of(tmp_path, "layer")) <= 3

    def test_a_damaged_step_is_refused_and_nothing_is_lost(self, copy):
        layers = copy / "checkpoints" / "layerwise" / "layers"
        (layers / "1" / "layer" / "manifest.ocdbt").write_bytes(b"torn")
        refused = jobs.run(self.name, copy, *self.alone)
        assert (refused.code, refused.out) == (2, "")
        assert "step 1 of" in refused.err
        assert "is damaged or of another run" in refused.err
        assert refused.err.count("\n") == 1
        assert {path.name for path in layers.iterdir()} == {"0", "1"}

    def test_a_run_at_work_keeps_others_out(self, copy):
        request = config_of(copy)
        folder = RunFolder(copy, request.pop("experiment"), request)
        refused = jobs.run(self.name, copy, *self.alone)
        folder.close()
        assert refused.code == 2
        assert "another run is at work in it" in refused.err

    @pytest.mark.parametrize(
        ("flags", "expected"),
        [
            ({"preset": "paper"}, ("first", "sum", "ridge_gd")),
            (
                {"preset": "paper", "solver": "ridge", "targets": "pooled"},
                ("pooled", "sum", "ridge"),
            ),
            ({}, ("concat", "pca", "gd")),
        ],
    )
    def test_a_preset_yields_to_flags(self, flags, expected):
        config = layerwise_rhm.EXPERIMENT.make_request(**flags).config
        assert (config.targets, config.normalizer, config.solver) == expected

    def test_one_step_and_k_means_are_measured_layer_by_layer(self, tmp_path):
        flags = (*self.alone, "--learner=one_step")
        finished = jobs.succeed(self.name, tmp_path, *flags)
        summary = jobs.summary_of(tmp_path)
        assert set(summary["learners"]) == set(summary["collapse"]) == {"one_step"}
        assert "one step, layer 2 of 2" in finished.out
        assert [level["num_symbols"] for level in summary["levels"]] == [4, 4]
        assert summary["levels"][0]["purity"] > 0.7
        assert summary["levels"][1]["test_error"]["mean"] < 0.4
        colour = STRING_LEARNERS["one_step"].colour
        assert lines_of(layerwise_rhm.EXPERIMENT.figure(tmp_path).axes[0], colour)
