"""The command for GPUs and TPUs, on a CPU and at sizes that show nothing."""

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


def test_other_answers_than_those_of_the_cpu_are_refused(small, monkeypatch):
    monkeypatch.setattr(accelerator, "_MOST_STRINGS_APART", -1)
    with pytest.raises(WrongResult, match="layerwise errs on 0 other test strings than on the CPU"):
        accelerator._same_errors("layerwise", quick=True)
