import numpy as np

from hierjax.runs import STRING_LEARNERS
from tests.experiments import jobs
from tests.experiments.laws import ExperimentLaws, legend_of, lines_of

NUM_TEST = 128
NAMES = ("layerwise", "kernel")


def check_same_points(workdir, whole):
    """Equal to within three test strings, and every seed of every point measured once."""
    points, expected = jobs.summary_of(workdir)["points"], jobs.summary_of(whole)["points"]
    assert len(points) == len(expected)
    for point, other in zip(points, expected, strict=True):
        errors = dict.fromkeys(("error", "excess_error"))
        assert point | errors == other | errors
        difference = np.subtract(point["error"]["per_seed"], other["error"]["per_seed"])
        assert np.abs(difference).max() * point["num_test"] <= 3.01
    chunks = jobs.events_of(workdir, "chunk")
    seeds = [(chunk["point"], seed) for chunk in chunks for seed in chunk["seeds"]]
    assert len(seeds) == len(set(seeds)) == 3 * len(points)


BAD = {
    "--learners=": "learners= must be different ones of layerwise, one_step, end_to_end",
    "--learners=layerwise,deep": "learners=layerwise,deep must be different ones",
    "--train_multiples=2,1": "train_multiples=2.0,1.0 must be numbers from",
    "--train_multiples=nan": "train_multiples=nan must be numbers from",
    "--num_rules=": "num_rules= is empty: it must be numbers from 1",
    "--num_rules=2,9": "level 0 needs 8 symbols * 9 rules = 72 distinct tuples",
    "--num_rules=2.5": "num_rules=2.5 must be whole numbers from 1",
    "--train_multiples=1,1.0001": "1.0001 both make 64 train strings of C8 V8 M2 S2 L3",
    "--num_rules=2 --depth=1": "can be measured: 8 train strings are fewer",
    "--num_classes=1 --num_rules=1": "can be measured: a language of 1 strings",
    "--depth=0": "depth=0 must be numbers from 1",
    "--level=1": "level=1.0 must be above 0 and below 1",
    "--level=nan": "level=nan must be",
    "--level_of=floor": "--level_of=floor: value should be one of <error|chance>",
    "--num_test=0": "num_test=0 must be from 1",
    "--workers=2 --num_devices=1": "num_devices=1 is of this process",
    "--coordinator=localhost:1": "--num_processes and --process_id are missing: give all",
}


class TestSampleComplexity(ExperimentLaws):
    name = "sample_complexity"
    flags = (
        "--learners=layerwise,kernel",
        "--num_rules=2,4",
        "--depth=2",
        "--train_multiples=1,2",
        "--num_seeds=3",
        "--level=0.3",
        "--kernel_kernels=rbf",
        "--kernel_bandwidths=1",
    )
    bad = BAD

    def test_the_summary_tells_points_thresholds_and_fits(self, finished):
        workdir, result = finished
        summary = jobs.summary_of(workdir)
        where = [(point["learner"], point["n"], point["multiple"]) for point in summary["points"]]
        sizes = [(32, 1.0), (128, 1.0), (256, 2.0)]
        assert where == [(name, *size) for size in sizes for name in NAMES]
        for point in summary["points"]:
            assert len(point["error"]["per_seed"]) == 3
            assert 0 <= point["error"]["mean"] <= point["error"]["max"] <= 1
            assert point["diverged"] == []
        assert {each["n"] for each in summary["skipped"]} == {64}
        assert "more than the language of 64 strings" in summary["skipped"][0]["reason"]
        large = [each for each in summary["thresholds"] if each["predicted"] == 128]
        assert [each["learner"] for each in large] == list(NAMES)
        assert 128 <= large[0]["value"] <= 256
        assert large[0]["multiple"] == large[0]["value"] / 128
        assert summary["fits"]["layerwise"]["exponent"] is None  # Two grammars make no law.
        assert summary["programs_compiled"] == 3 + 6
        assert summary["seconds"]["run"] > 0
        assert "of fewer than three" in result.out

    def test_a_point_is_what_the_layerwise_experiment_measures(self, finished, tmp_path):
        flags = ("--num_rules=4", "--depth=2", "--num_train=256", f"--num_test={NUM_TEST}")
        flags = (*flags, "--num_seeds=3", "--nobaselines")
        jobs.succeed("layerwise_rhm", tmp_path, *flags)
        learner = jobs.summary_of(tmp_path)["learners"]["layerwise"]
        (point,) = (
            point
            for point in jobs.summary_of(finished[0])["points"]
            if (point["learner"], point["n"]) == ("layerwise", 256)
        )
        difference = np.subtract(point["error"]["per_seed"], learner["test_error"]["per_seed"])
        assert np.abs(difference).max() * NUM_TEST <= 3.01

    def test_a_level_may_be_a_share_of_chance(self, copy):
        found = []
        for flags in (("--level=0.35",), ("--level=0.4", "--level_of=chance")):
            result = jobs.succeed(self.name, copy, *self.flags, *flags)
            found.append(jobs.summary_of(copy)["thresholds"])
        assert "n at error 0.4 of chance: " in result.out
        for one, other in zip(*found, strict=True):
            np.testing.assert_allclose([one["level"], other["level"]], 0.35)
            assert one["value"] == other["value"] or abs(one["value"] / other["value"] - 1) < 1e-9

    def test_a_killed_sweep_is_finished_by_workers(self, finished, tmp_path):
        def is_half_measured():
            records = tmp_path / "metrics.jsonl"
            return records.exists() and records.read_text().count('"chunk"') >= half

        half = len(jobs.events_of(finished[0], "chunk")) // 2

        arguments = jobs.command(self.name, tmp_path, *self.flags, "--num_devices=1")
        jobs.kill_when(is_half_measured, arguments)
        assert not (tmp_path / "summary.json").exists()
        before = len(jobs.events_of(tmp_path, "chunk"))
        result = jobs.spawn(self.name, tmp_path, *self.flags, "--workers=2")
        assert (result.code, result.err) == (0, "")
        check_same_points(tmp_path, finished[0])
        assert before < len(jobs.events_of(tmp_path, "chunk"))

    def check_figure(self, axes, summary):
        *curves, thresholds = axes
        assert [axis.get_title() for axis in curves] == list(NAMES)
        for axis, name in zip(curves, NAMES, strict=True):
            small, large, level = axis.lines
            points = [each for each in summary["points"] if each["learner"] == name]
            errors = [each["error"]["mean"] for each in points]
            np.testing.assert_array_equal(small.get_xdata(), [1])
            np.testing.assert_array_equal(large.get_xdata(), [1, 2])
            least = axis.get_ylim()[0]
            drawn = [*small.get_ydata(), *large.get_ydata()]
            np.testing.assert_allclose(drawn, np.maximum(errors, np.min(drawn)))
            assert least < np.min(drawn)
            assert level.get_ydata()[0] == summary["level"]
        assert legend_of(thresholds)[:2] == list(NAMES)
        for name in NAMES:
            assert lines_of(thresholds, STRING_LEARNERS[name].colour)
