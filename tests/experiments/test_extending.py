"""What docs/extending.md promises: a learner, a measure, an experiment cost one place each."""

import contextlib
import dataclasses
import re
import shutil
import traceback

import jax
import numpy as np
import pytest

from experiments import layerwise_rhm, sample_complexity, strings
from hierjax.models import one_hot_strings
from hierjax.runs import STRING_LEARNERS, SeedsTrainer
from hierjax.train import CROSS_ENTROPY, Kernel, KernelRidge, class_scores
from tests.experiments import jobs, test_layerwise_rhm
from tests.experiments.laws import legend_of, lines_of, ticks_of

SIZES = ("--num_rules=2", "--vocab_size=4", "--num_classes=4", "--num_seeds=2")
SMALL = (
    *test_layerwise_rhm.TestLayerwiseRHM.flags,
    "--nobaselines",
)  # Its programs are compiled already.


@contextlib.contextmanager
def declared(registry, name, function, **fields):
    """An entry of a registry for as long as a test needs it."""
    registry.add(name, **fields)(function)
    try:
        yield
    finally:
        del registry[name]


@contextlib.contextmanager
def learners(**more):
    """No other learners than the layerwise one and these."""
    with jobs.only_learners("layerwise"), contextlib.ExitStack() as stack:
        for name, function in more.items():
            stack.enter_context(declared(STRING_LEARNERS, name, function, colour="tab:purple"))
        yield


def linear(spec, num_train, settings):
    """Ridge regression that is linear in the one-hot string."""
    return (
        KernelRidge(
            lambda tokens: one_hot_strings(tokens, spec.symbols(spec.depth)),
            lambda labels: jax.nn.one_hot(labels, spec.num_classes),
            CROSS_ENTROPY,
            (Kernel("linear", lambda points, others, distance: points @ others.T),),
        ),
    )


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("extended") / "run"
    return workdir, jobs.succeed("layerwise_rhm", workdir, *SMALL)


def test_a_learner_is_declared_once_and_stands_in_the_command(finished, tmp_path):
    """Of a run that was finished without it, it alone is trained."""
    workdir = shutil.copytree(finished[0], tmp_path / "run")
    flags = [flag for flag in SMALL if flag != "--nobaselines"]
    with learners(linear=linear):
        result = jobs.succeed("layerwise_rhm", workdir, *flags)
        axes = layerwise_rhm.EXPERIMENT.figure(workdir).axes
    assert "layers finished: layerwise 2 of 2, linear 0 of 1" in result.out
    assert re.search(r"^linear +0\.\d+ ± ", result.out, re.MULTILINE)
    learner = jobs.summary_of(workdir)["learners"]["linear"]
    assert learner["test_error"]["mean"] < 0.75
    assert learner["chosen"]["kernel"] == 3 * ["linear"]
    assert ticks_of(axes[1].get_xticklabels()) == ["layerwise", "linear"]
    _, mean = lines_of(axes[1], "tab:purple")
    np.testing.assert_allclose(mean.get_ydata(), 2 * [learner["test_error"]["mean"]])


def test_a_learner_is_declared_once_and_stands_in_the_sweep(tmp_path):
    with learners(linear=linear):
        assert sample_complexity.EXPERIMENT.make_request().learners == ("layerwise", "linear")
        flags = (*SIZES, "--depth=2", "--train_multiples=1", "--learners=linear")
        result = jobs.succeed("sample_complexity", tmp_path, *flags)
        *curves, thresholds = sample_complexity.EXPERIMENT.figure(tmp_path).axes
    assert "linear: n at error" in result.out
    assert [point["learner"] for point in jobs.summary_of(tmp_path)["points"]] == ["linear"]
    assert [axis.get_title() for axis in curves] == ["linear"]
    assert legend_of(thresholds)[0] == "linear"
    assert lines_of(thresholds, "tab:purple")


def confidence(layers, data, below, params):
    """Largest class score of an unseen string, mean over strings."""
    return class_scores(layers, (*below, params), data.test.inputs).max(axis=1).mean()


def test_a_measure_of_a_finished_run_trains_nothing(finished, tmp_path, monkeypatch):
    workdir = shutil.copytree(finished[0], tmp_path / "run")
    monkeypatch.setattr(SeedsTrainer, "fit_layer", lambda *_: pytest.fail("a layer is fitted"))
    fields = {"column": "confidence", "text": "{mean:.3f}!"}
    with declared(strings.MEASURES, "confidence", confidence, **fields):
        result = jobs.succeed("layerwise_rhm", workdir, *SMALL)
    before, after = jobs.summary_of(finished[0]), jobs.summary_of(workdir)
    table = [
        line for line in result.out.splitlines() if line.startswith(("learner ", "layerwise "))
    ]
    assert "confidence" in table[0]
    said = [layer["confidence"] for layer in after["measures"]["layerwise"]]
    assert len(said) == 2
    for line, each in zip(table[1:], said, strict=True):
        assert len(each["per_seed"]) == 3
        assert f"{each['mean']:.3f}!" in line
    for layer in after["measures"]["layerwise"]:
        del layer["confidence"]
    assert after == before


def test_few_frames_lie_between_main_and_a_fit(finished, tmp_path):
    workdir, frames = shutil.copytree(finished[0], tmp_path / "run"), []

    @dataclasses.dataclass(frozen=True)
    class Looking(KernelRidge):
        def fit(self, key, inputs, labels):
            frames.append(traceback.extract_stack())
            return super().fit(key, inputs, labels)

    def look(spec, num_train, settings):
        """Looks at the stack when its fit is traced."""
        (layer,) = linear(spec, num_train, settings)
        return (Looking(layer.embed, layer.encode, layer.loss, layer.kernels),)

    flags = [flag for flag in SMALL if flag != "--nobaselines"]
    with learners(look=look):
        jobs.succeed("layerwise_rhm", workdir, *flags)
    ours = re.compile(rf"{jobs.ROOT}/(hierjax|experiments)/.*")
    (stack,) = frames
    names = [frame.name for frame in stack if ours.fullmatch(frame.filename)]
    assert names[0] == "run"
    assert len(names) + 1 <= 8, names  # And the fit itself, which stands in this file.


def test_the_commands_stay_small():
    files = sorted((jobs.ROOT / "experiments").glob("*.py"))
    assert sum(len(file.read_text().splitlines()) for file in files) <= 200 * len(files)


def test_every_experiment_is_held_to_the_laws():
    tests = "".join(
        path.read_text() for path in (jobs.ROOT / "tests/experiments").glob("test_*.py")
    )
    held = set(re.findall(r'    name = "(\w+)"', tests))
    texts = {path.stem: path.read_text() for path in (jobs.ROOT / "experiments").glob("*.py")}
    assert {name for name, text in texts.items() if "\nEXPERIMENT = " in text} == held
