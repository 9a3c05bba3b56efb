import numpy as np
import pytest

from tests.experiments import jobs
from tests.experiments.laws import ExperimentLaws, legend_of

BAD = {
    "--preset=cfg4": "--preset=cfg4: value should be one of <cfg3b|",
    "--num_levels=1": "num_levels=1 must be from 2",
    "--max_length=9": "a share of 0 of the strings have at most max_length=9 tokens",
    "--num_test=1": "num_test=1 must be from 2",
    "--num_heads=5": "width=64 cannot be divided between num_heads=5",
    "--grammar=/nowhere.txt": "grammar=/nowhere.txt is not read (No such file or directory)",
}


class TestContextFree(ExperimentLaws):
    name = "context_free"
    flags = (
        "--num_levels=3",
        "--num_test=50",
        "--num_blocks=1,2",
        "--width=16",
        "--num_heads=2",
        "--batch_size=32",
        "--num_steps=300",
        "--num_looks=4",
        "--num_seeds=2",
    )
    bad = BAD

    def test_models_come_down_to_the_floor_and_write_strings_of_the_language(self, finished):
        summary = jobs.summary_of(finished[0])
        assert summary["sampled_valid"]["mean"] == 1
        for point in summary["points"]:
            start, *_, end = np.mean(point["curve"], axis=0)
            np.testing.assert_allclose(end, point["excess"]["mean"], rtol=1e-5)
            assert end < 0.3 * start
            assert point["valid"]["mean"] > 0.5

    def test_the_floor_is_told_for_every_place_that_strings_reach(self, finished):
        """Beyond the start nothing is as open as it, and no place costs more than a coin does."""
        summary = jobs.summary_of(finished[0])
        floor, errors = (
            [each for each in summary["floor"][name] if each is not None]
            for name in ("by_place", "error_by_place")
        )
        assert 5 <= len(floor) == len(errors) <= summary["max_length"] == 10
        assert min(floor) >= 0
        assert max(errors) < 0.2
        assert 0 < summary["floor"]["token"]["mean"] < np.log(2)

    def test_a_grammar_is_read_from_a_file(self, tmp_path):
        """Of its strings of odd lengths, those of 1, 3 and 5 terminals are kept."""
        path = tmp_path / "grammar.txt"
        path.write_text("S -> 'a' S 'b' [.5] | 'c' [.5]\n")
        request = self.experiment.make_request(grammar=str(path), max_length=6)
        assert request.language.spec.terminals == ("'a'", "'b'", "'c'")
        assert request.language.spec.share == 1 - 2**-3
        # The rules are what the run is, wherever they came from.
        assert request.rules == path.read_text()
        path.write_text("S -> 'a' [1]\n")
        with pytest.raises(ValueError, match="rules are given, and others by grammar="):
            self.experiment.make_request(grammar=str(path), rules=request.rules)

    def check_figure(self, axes, summary):
        cost, places = axes
        assert legend_of(cost) == ["1 block", "2 blocks"]
        assert legend_of(places) == ["1 block", "2 blocks", "exact inference"]
        means = [line for line in cost.lines if line.get_alpha() is None]
        for point, line in zip(summary["points"], means, strict=True):
            np.testing.assert_allclose(
                line.get_ydata(), np.mean(point["curve"], axis=0)[1:], rtol=1e-6
            )
        drawn = [point["by_place"] for point in summary["points"]] + [summary["floor"]["by_place"]]
        for values, line in zip(drawn, places.lines, strict=True):
            np.testing.assert_allclose(line.get_ydata(), np.array(values, float))
