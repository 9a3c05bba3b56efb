import numpy as np

from tests.experiments import jobs
from tests.experiments.laws import ExperimentLaws

BAD = {
    "--preset=cfg4": "preset='cfg4' is unknown: choose one of cfg3b, ",
    "--num_levels=1": "num_levels=1 must be from 2",
    "--max_length=9": "a share of 0 of the strings have at most max_length=9 tokens",
    "--num_test=1": "num_test=1 must be from 2",
    "--num_heads=5": "width=64 cannot be divided between num_heads=5",
    "--grammar=/nowhere.txt": "/nowhere.txt",
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

    def test_places_add_up_to_the_floor_of_whole_strings(self, finished):
        """Two levels of two rules each: all derivations of the few strings are known."""
        summary = jobs.summary_of(finished[0])
        floor = [each for each in summary["floor"]["by_place"] if each is not None]
        assert len(floor) == summary["max_length"] == 10
        assert floor[-1] == 0  # Nothing but the end can follow.
        assert 0 < summary["floor"]["token"]["mean"] < np.log(summary["num_terminals"] + 1)
