"""The command for GPUs and TPUs, on a CPU and at sizes that show nothing."""

import json

import pytest

from benchmarks import accelerator, sampler, sweep, wide_stack
from benchmarks.harness import WrongResult
from hierjax.models import PRECISIONS


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(wide_stack, "_WIDTH", 8)
    monkeypatch.setattr(sampler, "GRAMMARS", sampler.GRAMMARS[2:3])
    monkeypatch.setattr(accelerator, "_NUM_TEST", 64)
    for suite in (sampler, sweep):  # They are tested where they are.
        monkeypatch.setattr(suite, "cases", lambda quick: ())


def test_it_tells_answers_speed_and_memory(small, tmp_path):
    parts = list(accelerator._parts(True, 1, str(tmp_path)))
    strings, errors, *wide, memory = parts
    assert strings["grammars"] == 1
    assert errors["mean"] == errors["mean_on_cpu"] < 0.5
    assert [part["part"] for part in wide] == [f"wide stack, {p}, batch 8" for p in PRECISIONS]
    for part in wide:
        assert part["share"] == part["flops_per_second"] / part["ceiling"] > 0
    assert len(memory["peak_bytes"]) > 0
    assert list(tmp_path.rglob("*.xplane.pb"))


def test_other_answers_than_those_of_the_cpu_are_told_when_all_is_measured(
    small, monkeypatch, tmp_path
):
    monkeypatch.setattr(accelerator, "_MOST_STRINGS_APART", -1)
    parts = [accelerator._same_errors("layerwise", quick=True), {"part": "next"}]
    path = tmp_path / "results.jsonl"
    with pytest.raises(WrongResult, match=r"layerwise errs on 0\.0 test strings more or fewer"):
        accelerator._write(iter(parts), path)
    lines = path.read_text().splitlines()
    assert [json.loads(line)["part"] for line in lines] == ["errors of layerwise", "next"]
