"""On eight fake devices, with points that are cheap to measure."""

import collections
import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hierjax.runs import parallel
from hierjax.runs.parallel import seed_keys
from hierjax.runs.record import RunFolder
from hierjax.runs.sweeps import programs
from hierjax.runs.sweeps.points import Point
from hierjax.runs.sweeps.sweep import Sweep

NUM_SEEDS = 7
TRACES = collections.Counter()


@dataclasses.dataclass(frozen=True)
class DrawNumbers:
    """Normal numbers, as many as asked for."""

    size: int

    def __call__(self, key):
        TRACES["draw", self.size] += 1
        return {"numbers": jax.random.normal(key, (self.size,))}


def make_point(size, power, fills_cpu=False):
    def measure(key, data):
        TRACES["measure", size, power] += 1
        return {
            "moment": jnp.mean(data["numbers"] ** power),
            # Diverges for about half of the seeds.
            "root": jnp.sqrt(jax.random.normal(key)),
            "table": jax.random.normal(key, (2, 3)),
        }

    return Point(f"{size} {power}", size, DrawNumbers(size), measure, fills_cpu)


POINTS = [make_point(3, 1), make_point(3, 2), make_point(500, 2, fills_cpu=True)]
KEYS = seed_keys(0, NUM_SEEDS)


def sweep(num_devices=2, **options):
    return Sweep(POINTS, KEYS, num_devices, **options)


def one_by_one(point):
    rows = [point.measure(key, point.draw(key)) for key in KEYS]
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


def check(measured):
    assert list(measured) == [point.name for point in POINTS]
    for point in POINTS:
        found, expected = measured[point.name], one_by_one(point)
        assert found.skipped == ""
        for name, values in expected.items():
            np.testing.assert_allclose(found.values[name], values, rtol=1e-5)


def events(folder):
    return list(folder.events("chunk"))


@pytest.fixture
def folder(tmp_path):
    folder = RunFolder(tmp_path / "run", "test", {})
    yield folder
    folder.close()


@pytest.mark.parametrize(
    ("num_devices", "lanes", "impl"),
    [(1, 1, "shard_map"), (8, 1, "shard_map"), (2, 3, "shard_map"), (2, 3, "pmap")],
)
def test_a_sweep_equals_its_points_one_by_one(monkeypatch, num_devices, lanes, impl):
    monkeypatch.setattr(parallel, "_MOST_LANES", {"cpu": lanes})
    check(sweep(num_devices, impl=impl).run())


def test_numbers_are_the_same_bits_on_any_devices():
    one, eight = sweep(1).run(), sweep(8).run()
    for name, point in one.items():
        for key, values in point.values.items():
            np.testing.assert_array_equal(eight[name].values[key], values)


def test_diverged_seeds_are_recorded_and_the_others_go_on(folder):
    measured = sweep().run(folder)
    expected = np.isnan(one_by_one(POINTS[0])["root"])
    assert 0 < expected.sum() < NUM_SEEDS
    assert (np.isnan(measured["3 1"].values["root"]) == expected).all()
    recorded = {
        seed: value
        for event in events(folder)
        if event["point"] == "3 1"
        for seed, value in zip(event["seeds"], event["values"]["root"], strict=True)
    }
    assert [recorded[seed] is None for seed in range(NUM_SEEDS)] == expected.tolist()


def test_each_program_is_traced_once_and_data_is_drawn_by_one():
    TRACES.clear()
    measured = sweep().run()
    names = [("draw", 3), ("draw", 500), ("measure", 3, 1), ("measure", 3, 2), ("measure", 500, 2)]
    assert dict.fromkeys(names, 1) == TRACES
    assert sum(each.num_compiled for each in measured.values()) == 5
    assert measured["500 2"].num_compiled == 2


def test_few_programs_are_kept():
    made = []
    kept = programs._Kept(2)
    for key in (1, 2, 1, 3, 1, 2):
        assert kept.get(key, lambda key=key: made.append(key) or -key) == -key
    assert made == [1, 2, 3, 2]


def test_a_program_that_cannot_be_made_is_tried_again():
    kept = programs._Kept(2)
    with pytest.raises(ZeroDivisionError):
        kept.get(1, lambda: 1 // 0)
    assert kept.get(1, lambda: 2) == 2


def test_work_is_told_as_it_gets_done():
    told = []
    swept = sweep()
    swept.run(advance=told.append)
    assert len(told) == 3 * 4
    assert sum(told) == swept.work == NUM_SEEDS * (3 + 3 + 500)


@pytest.fixture(scope="module")
def whole_records(tmp_path_factory):
    """Lines of a sweep that was not killed."""
    folder = RunFolder(tmp_path_factory.mktemp("whole"), "test", {})
    sweep(2).run(folder)
    return (folder.path / "metrics.jsonl").read_bytes().splitlines(keepends=True)


@pytest.mark.parametrize(("num_devices", "kept"), [(1, 0), (8, 1), (2, 5), (1, 7), (8, 11)])
def test_what_is_missing_is_measured_on_other_devices_too(folder, whole_records, num_devices, kept):
    """After a kill in the middle of an append."""
    folder.close()
    torn = whole_records[kept][: len(whole_records[kept]) // 2]
    (folder.path / "metrics.jsonl").write_bytes(b"".join(whole_records[:kept]) + torn)
    folder = RunFolder(folder.path, "test", {})
    swept = sweep(num_devices)
    done = swept.restore(folder)
    assert done == sum(
        len(event["seeds"]) * int(event["point"].split()[0]) for event in events(folder)
    )
    check(swept.run(folder))
    seeds = collections.defaultdict(list)
    for event in events(folder):
        seeds[event["point"]] += event["seeds"]
    assert {name: sorted(each) for name, each in seeds.items()} == {
        point.name: list(range(NUM_SEEDS)) for point in POINTS
    }
    folder.close()


def test_a_finished_sweep_compiles_nothing(folder):
    sweep().run(folder)
    TRACES.clear()
    swept = sweep()
    assert swept.restore(folder) == swept.work
    measured = swept.run(folder)
    assert not TRACES
    check(measured)
    # What it took is that of the run that did it.
    assert sum(each.num_compiled for each in measured.values()) == 5
    assert all(each.seconds["wall"] > 0 for each in measured.values())


def test_points_have_names_of_their_own(folder):
    with pytest.raises(ValueError, match="the same name"):
        Sweep([make_point(3, 1), make_point(3, 1)], KEYS)
    sweep().run(folder)
    with pytest.raises(
        ValueError, match=r"line 1 of .* is of a point '\d+ \d', which is not in this sweep"
    ):
        Sweep([make_point(4, 1)], KEYS).restore(folder)


def test_fewer_seeds_at_once_where_memory_is_short(folder):
    """Between what one seed takes and what eight take."""
    (program,) = {len(event["seeds"]) for event in measure_one(folder, 8, None)}
    assert program == NUM_SEEDS
    small = measure_one(folder, 8, 3 * 500 * 4 * 2)
    assert 1 <= max(len(event["seeds"]) for event in small) < NUM_SEEDS


def measure_one(folder, num_devices, memory):
    (folder.path / "metrics.jsonl").unlink(missing_ok=True)
    point = make_point(500, 2)
    swept = Sweep([point], KEYS, num_devices, memory=memory)
    measured = swept.run(folder)
    np.testing.assert_allclose(
        measured[point.name].values["moment"], one_by_one(point)["moment"], rtol=1e-5
    )
    return events(folder)


def test_a_point_too_large_for_memory_is_skipped_and_the_others_go_on(folder):
    swept = sweep(memory=2500)
    measured = swept.run(folder)
    assert measured["500 2"].values == {}
    assert "GB of memory" in measured["500 2"].skipped
    assert measured["3 2"].values["moment"].shape == (NUM_SEEDS,)
    assert {event["point"] for event in events(folder)} == {"3 1", "3 2"}


def test_records_of_before_workers_had_names_are_read(folder):
    """As sweeps wrote them before executors."""
    values = {"moment": [0.5, None], "root": [1.0, 2.0], "table": [[[1.0] * 3] * 2] * 2}
    costs = {"compile": 1.0, "programs": 2, "run": 0.5, "wall": 1.5}
    folder.log("chunk", point="3 1", seeds=[0, 4], values=values, costs=costs)
    swept = sweep()
    assert swept.restore(folder) == 2 * 3
    point = swept.run()["3 1"]
    assert point.values["moment"][0] == 0.5
    assert np.isnan(point.values["moment"][4])
    assert point.values["table"].shape == (NUM_SEEDS, 2, 3)
    assert point.seconds["compile"] > 1


def test_a_full_disk_keeps_what_was_recorded(folder):
    """As far as a device that is always full can stand for one."""
    swept = sweep()
    records = folder.path / "metrics.jsonl"

    def fill_the_disk(work):
        if not records.is_symlink():
            records.rename(folder.path / "kept.jsonl")
            records.symlink_to("/dev/full")

    with pytest.raises(OSError, match=r"metrics.jsonl cannot be written \(No space left"):
        swept.run(folder, fill_the_disk)
    (line,) = (folder.path / "kept.jsonl").read_text().splitlines()
    assert len(json.loads(line)["seeds"]) == 2
