"""What the harness reports, when it refuses, and the command lines. No timing is asserted."""

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import jax
import numpy as np
import pytest

from benchmarks import growth, harness, inference, memory, sampler, session
from benchmarks.ceilings import Ceilings, measure_ceilings
from hierjax.tasks.grammars import draw_random_hierarchy
from hierjax.tasks.random_hierarchy import RandomHierarchySpec
from tests.experiments.jobs import call

ROOT = Path(__file__).resolve().parents[2]
SUITES = (
    "sampler",
    "inference",
    "context_free",
    "layerwise",
    "end_to_end",
    "transformer",
    "sweep",
    "checkpoint",
)
SPEC = RandomHierarchySpec(8, 8, 4, 2, 3)
CEILINGS = Ceilings(flops_per_second=100.0, bytes_per_second=10.0)


class FakeMachine:
    """A clock that stands still but for the calls made on this machine, and a list of them.

    Every second of a call takes two seconds of CPU.
    """

    def __init__(self, monkeypatch):
        self.now, self.calls = 0.0, []
        clock = SimpleNamespace(
            perf_counter=lambda: self.now, process_time=lambda: 100 + 2 * self.now
        )
        monkeypatch.setattr(harness, "time", clock)

    def call(self, name, seconds=(0.0,), result=None):
        """A function that takes these seconds, one number for each call of it."""
        remaining = iter(seconds)

        def function(*_):
            self.calls.append(name)
            self.now += next(remaining)
            return result

        return function


def fake_case(machine, ours=(), baseline=None, check=None, **work):
    our_call = machine.call("ours", (50.0, *ours))
    return harness.Case(
        suite="fake",
        name="case",
        items=100,
        unit="things",
        make_ours=machine.call("compile", (3.0,), our_call),
        baseline=None if baseline is None else machine.call("baseline", (70.0, *baseline)),
        check=check or machine.call("check"),
        **work,
    )


def test_quartiles_and_ratio_leave_out_compiling_and_warming_up(monkeypatch):
    machine = FakeMachine(monkeypatch)
    # The median of the ratios of pairs (2, 3, 1, 4, 1) is not the ratio of the medians (6 / 4).
    case = fake_case(machine, ours=(1, 2, 4, 5, 10), baseline=(2, 6, 4, 20, 10))
    record = harness.measure(case, 5, CEILINGS)
    assert record["ours"].pop("peak_bytes") >= 0
    assert record["ours"] == {
        "seconds": {"median": 4, "q1": 2, "q3": 5},
        "cpu_seconds": 8,
        "compile_seconds": 3,
        "items_per_second": 25,
    }
    assert record["baseline"]["seconds"] == {"median": 6, "q1": 4, "q3": 10}
    assert record["baseline"]["compile_seconds"] is None
    assert record["ratio"] == 2


def test_calls_take_turns_after_the_check(monkeypatch):
    machine = FakeMachine(monkeypatch)
    harness.measure(fake_case(machine, ours=(1, 1), baseline=(1, 1)), repeats=2, ceilings=CEILINGS)
    warm_up = ["compile", "ours", "baseline", "check"]
    assert machine.calls == [*warm_up, "ours", "baseline", "ours", "baseline"]


def test_a_case_may_have_no_baseline(monkeypatch):
    record = harness.measure(
        fake_case(FakeMachine(monkeypatch), ours=(1, 1, 1)), repeats=3, ceilings=CEILINGS
    )
    assert record["baseline"] is None
    assert record["ratio"] is None


def test_a_failing_check_raises_before_any_timing(monkeypatch):
    machine = FakeMachine(monkeypatch)

    def check(*_):
        raise harness.WrongResult("wrong")

    with pytest.raises(harness.WrongResult, match="wrong"):
        harness.measure(
            fake_case(machine, ours=(1,), baseline=(1,), check=check), repeats=1, ceilings=CEILINGS
        )
    assert machine.calls == ["compile", "ours", "baseline"]


@pytest.mark.parametrize(
    ("work", "floor", "share"),
    [
        ({}, None, None),
        ({"flops": 200.0}, 2, 0.5),
        ({"num_bytes": 10.0}, 1, 0.25),
        ({"flops": 200.0, "num_bytes": 30.0}, 3, 0.75),
    ],
)
def test_the_floor_is_what_the_ceilings_imply(monkeypatch, work, floor, share):
    case = fake_case(FakeMachine(monkeypatch), ours=(4,), **work)
    record = harness.measure(case, repeats=1, ceilings=CEILINGS)
    assert (record["floor_seconds"], record["share"]) == (floor, share)
    rates = {"flops_per_second": "flops", "bytes_per_second": "num_bytes"}
    for rate, name in rates.items():
        assert record["achieved"][rate] == (work[name] / 4 if name in work else None)


def test_ceilings_are_rates_of_this_machine():
    ceilings = measure_ceilings(quick=True)
    # From a slow phone to a rack.
    assert 1e8 < ceilings.flops_per_second < 1e17
    assert 1e7 < ceilings.bytes_per_second < 1e15


def test_cpu_seconds_count_processes_that_have_ended():
    before = harness.cpu_seconds()
    work = "sum(range(10**7))"
    subprocess.run([sys.executable, "-c", work], check=True)
    children = harness.cpu_seconds() - before
    before = harness.cpu_seconds()
    subprocess.run([sys.executable, "-c", "pass"], check=True)
    assert children > harness.cpu_seconds() - before


def test_peak_memory_is_that_of_the_call_alone():
    def call(num_bytes):
        return lambda: float(np.ones(num_bytes // 8).sum())

    _, large = memory.peak_bytes(call(2**28))
    _, small = memory.peak_bytes(call(2**24))
    assert abs(large - 2**28) < 2**24
    assert small < 2**26


def test_exponents_are_fitted_to_large_values():
    values = np.array([1, 2, 4, 8, 16, 32.0])
    costs = np.where(values < 8, 5, 0.1 * values**1.5)
    assert growth.fitted_exponent(values, costs) == pytest.approx(1.5)


def test_compiled_binds_its_arguments():
    assert harness.compiled(lambda x, y: x - y, np.float32(5), np.float32(3))() == 2


def grammar_of(probabilities=None):
    return draw_random_hierarchy(jax.random.key(3), SPEC, probabilities)


def skewed():
    return [
        np.tile(np.float32([0.5, 0.25, 0.25, 0]), (SPEC.symbols(level), 1))
        for level in range(SPEC.depth)
    ]


@pytest.mark.parametrize("probabilities", [None, skewed()])
def test_parsing_finds_the_labels(probabilities):
    grammar = grammar_of(probabilities)
    batch = jax.jit(lambda key: grammar.sample(key, 500))(jax.random.key(0))
    np.testing.assert_array_equal(sampler.parse(grammar, np.asarray(batch.inputs)), batch.labels)


def test_strings_outside_the_language_are_refused():
    grammar = grammar_of()
    tokens = sampler.numpy_sampler(grammar, 500, None)()
    sampler.parse(grammar, tokens)
    tokens[7] = np.random.default_rng(0).permutation(SPEC.num_leaves)
    with pytest.raises(harness.WrongResult, match="made by no rule"):
        sampler.parse(grammar, tokens)


def test_rules_at_wrong_frequencies_are_refused():
    rows = [table[0] for table in skewed()]
    tokens = sampler.numpy_sampler(grammar_of(skewed()), 500, rows)()
    sampler.parse(grammar_of(skewed()), tokens)
    with pytest.raises(harness.WrongResult, match="do not have probabilities"):
        sampler.parse(grammar_of(), tokens)


def test_overconfident_posteriors_are_refused():
    rng = np.random.default_rng(0)
    truth = rng.integers(4, size=2000)
    # Seen as it is 3 times in 4, else as a uniform symbol.
    seen = np.where(rng.random(2000) < 0.75, truth, rng.integers(4, size=2000))
    right = np.full((2000, 4), 0.25 / 4)
    right[np.arange(2000), seen] += 0.75
    inference._require_calibrated("right", right, truth)
    for wrong in (right**2 / (right**2).sum(axis=1, keepdims=True), right * np.nan):
        with pytest.raises(harness.WrongResult, match="the likeliest symbol is right"):
            inference._require_calibrated("wrong", wrong, truth)


@pytest.mark.parametrize("change", [2e-4, np.nan])
def test_inference_that_differs_from_its_baseline_is_refused(change):
    inference._require_close("same", np.ones(3), np.ones(3) + 1e-6)
    with pytest.raises(harness.WrongResult, match="from the baseline"):
        inference._require_close("other", np.ones(3), np.array([1, 1, 1 + change]))


def command(module, *arguments):
    return subprocess.run(
        [sys.executable, "-m", f"benchmarks.{module}", *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def strict_json(line):
    def refuse(constant):
        raise ValueError(f"{constant} is no JSON")

    return json.loads(line, parse_constant=refuse)


def test_quick_run_appends_a_whole_record_for_every_case(tmp_path):
    out = tmp_path / "new" / "results.jsonl"
    finished = command("run", "--quick", "--out", out)
    assert finished.returncode == 0, finished.stderr
    records = [strict_json(line) for line in out.read_text().splitlines()]
    suites = [record["suite"] for record in records]
    assert list(dict.fromkeys(suites)) == list(SUITES)
    assert len({(record["suite"], record["case"]) for record in records}) == len(records)
    for record in records:
        assert record["case"] in finished.stdout
        assert record["repeats"] == 3
        assert record["versions"]["jax"] == jax.__version__
        assert record["platform"] == "cpu"
        assert record["device"]
        assert record["date"]
        assert len(record["load_average"]) == 3
        assert (record["baseline"] is None) == (record["ratio"] is None)
        assert (record["baseline"] is None) == (record["against"] is None)
        assert (record["share"] is None) == (record["floor_seconds"] is None)
        for side in filter(None, (record["ours"], record["baseline"])):
            seconds = side["seconds"]
            assert 0 < seconds["q1"] <= seconds["median"] <= seconds["q3"]
            rate = record["items"] / seconds["median"] / record["devices_used"]
            assert side["items_per_second"] == pytest.approx(rate)
            assert side["cpu_seconds"] >= 0
        assert record["ours"]["compile_seconds"] >= 0
    without_pytorch = {record["against"] for record in records if record["baseline"]}
    assert without_pytorch >= {"numpy", "a pass a leaf", "ours, a seed at a time", "nothing saved"}


@pytest.mark.parametrize("name", SUITES)
def test_there_is_work_of_every_size_whose_growth_is_measured(name):
    for each in session.SUITES[name].growths(quick=True):
        for value in each.values:
            assert each.make_case(value).suite == name


def test_growth_is_recorded_and_drawn(tmp_path, monkeypatch):
    """Of the suite that has both costs, and devices."""
    monkeypatch.setattr(session, "_ready", lambda device: None)  # It would pin this process.
    out = tmp_path / "growth.jsonl"
    finished = call("benchmarks.growth", "--quick", "--suite=sweep", f"--out={out}")
    assert (finished.code, finished.err) == (0, "")
    records = [strict_json(line) for line in out.read_text().splitlines()]
    assert {record["cost"] for record in records} == {"seconds", "peak_bytes"}
    assert "devices" in [record["quantity"] for record in records]
    for record in records:
        assert record["values"] == sorted(record["values"])
        assert len(record["costs"]) == len(record["values"])
        assert record["quantity"] in finished.out
    assert out.with_suffix(".png").read_bytes().startswith(b"\x89PNG")


def test_committed_results_parse():
    files = sorted((ROOT / "benchmarks" / "results").glob("*.jsonl"))
    assert files
    for file in files:
        for line in file.read_text().splitlines():
            assert strict_json(line).keys() >= {"suite", "device", "versions", "date"}


@pytest.mark.parametrize("module", ["run", "growth"])
@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--suite", "nonesuch"], "suite"),
        (["--device", "abacus"], "device"),
        (["--nonesuch"], "nonesuch"),
        (["sampler"], "sampler"),
        (["--out", "."], "Is a directory"),
        (["--out", "results.png"], "results.png"),
    ],
)
def test_a_bad_flag_ends_in_one_line(module, arguments, named, monkeypatch):
    monkeypatch.setattr(session, "_ready", lambda device: None)  # It would pin this process.
    finished = call(f"benchmarks.{module}", *arguments)
    assert (finished.code, finished.out) == (2, "")
    (line,) = finished.err.splitlines()
    assert line.startswith(f"{module}: ")
    assert named in line


@pytest.mark.parametrize("module", ["run", "growth"])
def test_help_explains_every_flag(module):
    finished = call(f"benchmarks.{module}", "--help")
    assert finished.code == 0
    for flag in ("--suite", "--device", "--[no]quick", "--out"):
        assert flag in finished.out


def test_a_device_that_is_not_there_ends_in_one_line():
    if jax.default_backend() == "tpu":
        pytest.skip("it is there")
    before = set(session.RESULTS.iterdir())
    finished = command("run", "--device", "tpu")
    assert finished.returncode == 2
    assert set(session.RESULTS.iterdir()) == before
    (line,) = finished.stderr.splitlines()
    assert "--device=tpu" in line
