"""A command as a process: what may befall it from outside."""

import shutil
import signal
import subprocess
import time

import pytest

from hierjax.runs import RunFolder, SeedsTrainer
from tests.experiments import jobs, test_layerwise_rhm

NAME = test_layerwise_rhm.TestRuns.name
FLAGS = (*test_layerwise_rhm.TestRuns.alone, "--num_devices=1")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Folder of a run that nothing befell; to be read only."""
    workdir = tmp_path_factory.mktemp("process") / "run"
    jobs.succeed(NAME, workdir, *FLAGS)
    return workdir


def same_numbers(workdir, finished):
    found, expected = (jobs.without_costs(jobs.summary_of(each)) for each in (workdir, finished))
    return found == expected


@pytest.mark.parametrize(
    ("number", "word", "code"), [("SIGINT", "interrupted", 130), ("SIGTERM", "terminated", 143)]
)
@pytest.mark.parametrize("moment", ["import", "run"])
def test_a_signal_ends_a_command_in_one_line(finished, tmp_path, number, word, code, moment):
    """Sent while it imports, and while it compiles; afterwards the same command goes on."""
    arguments = jobs.command(NAME, tmp_path / "run", *FLAGS)
    pipe = subprocess.PIPE
    process = subprocess.Popen(
        arguments, cwd=jobs.ROOT, stdout=pipe, stderr=pipe, text=True, env=jobs.environment()
    )
    while moment == "run" and not (tmp_path / "run" / "metrics.jsonl").exists():
        time.sleep(0.01)
    if moment == "import":
        while "jax" not in (maps := open(f"/proc/{process.pid}/maps").read()) and maps:  # noqa: SIM115
            time.sleep(0.01)
    process.send_signal(getattr(signal, number))
    _, words = process.communicate(timeout=60)
    assert (process.returncode, words) == (code, f"{NAME}: {word}: what is finished is kept\n")
    if number == "SIGTERM" and moment == "run":
        jobs.succeed(NAME, tmp_path / "run", *FLAGS)
        assert same_numbers(tmp_path / "run", finished)


def test_no_stream_takes_a_result_away(finished, tmp_path):
    """Its output goes to a full disk, in ASCII, and its other streams are closed."""
    environment = jobs.environment(PYTHONIOENCODING="ascii")
    with open("/dev/full", "w") as full:
        arguments = jobs.command(NAME, tmp_path / "run", *FLAGS)
        closing = ["sh", "-c", 'exec "$@" <&- 2>&-', "sh", *arguments]
        done = subprocess.run(closing, cwd=jobs.ROOT, stdout=full, env=environment, check=False)
    assert done.returncode == 0
    assert same_numbers(tmp_path / "run", finished)
    assert (tmp_path / "run" / "figure.png").exists()


def test_options_of_jax_and_matplotlib_in_the_environment_change_nothing(finished, tmp_path):
    (tmp_path / "matplotlibrc").write_text("text.usetex: True\nsavefig.format: pdf\n")
    options = {
        "JAX_ENABLE_X64": "1",
        "JAX_DEFAULT_PRNG_IMPL": "rbg",
        "JAX_THREEFRY_PARTITIONABLE": "0",
        "JAX_RANDOM_SEED_OFFSET": "3",
        "JAX_NUMPY_RANK_PROMOTION": "raise",
        "JAX_NUMPY_DTYPE_PROMOTION": "strict",
        "JAX_DISABLE_JIT": "1",
        "MPLBACKEND": "nonsense",
        "MATPLOTLIBRC": str(tmp_path / "matplotlibrc"),
    }
    done = jobs.spawn(NAME, tmp_path / "run", *FLAGS, **options)
    assert (done.code, done.err) == (0, "")
    assert same_numbers(tmp_path / "run", finished)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("JAX_PLATFORMS", "cuda"),
        ("JAX_PLATFORMS", "nonsense"),
        ("JAX_NUM_CPU_DEVICES", "0"),
        ("JAX_ENABLE_X64", "perhaps"),
    ],
)
def test_a_bad_environment_is_told_in_one_line(tmp_path, name, value):
    refused = jobs.spawn(NAME, tmp_path / "run", **{name: value})
    assert (refused.code, refused.out) == (2, "")
    assert refused.err.startswith(f"{NAME}: ")
    assert refused.err.count("\n") == 1
    assert value in refused.err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("fate", ["removed", "replaced"])
def test_a_run_whose_folder_is_gone_stops(tmp_path, monkeypatch, fate):
    workdir, fit = tmp_path / "run", SeedsTrainer.fit_layer

    def fit_and_lose(*args):
        shutil.rmtree(workdir)
        if fate == "replaced":
            RunFolder(workdir, "other", {}).close()
        return fit(*args)

    monkeypatch.setattr(SeedsTrainer, "fit_layer", fit_and_lose)
    failed = jobs.run(NAME, workdir, *FLAGS)
    assert failed.code == 1
    assert failed.err.startswith(f"{NAME}: the run folder {workdir} was removed, moved or replaced")
    assert failed.err.count("\n") == 1
    if fate == "removed":
        assert not workdir.exists()
    else:
        assert {path.name for path in workdir.iterdir()} == {".lock", "config.json"}


def test_a_figure_that_cannot_be_drawn_takes_no_result_away(finished, tmp_path, monkeypatch):
    def fail(*_):
        raise RuntimeError("no font")

    monkeypatch.setattr(RunFolder, "write_figure", fail)
    failed = jobs.run(NAME, tmp_path / "run", *FLAGS)
    assert failed.code == 1
    assert "figure.png cannot be drawn (RuntimeError: no font" in failed.err
    assert "summary.json has the result" in failed.err
    assert failed.err.count("\n") == 1
    assert "errors on unseen strings" in failed.out
    assert same_numbers(tmp_path / "run", finished)


def test_a_full_disk_leaves_the_table(finished, tmp_path, monkeypatch):
    write = RunFolder.write_json

    def fill(folder, name, content):
        if name == "summary.json":
            raise OSError(f"{name} cannot be written (No space left on device)")
        write(folder, name, content)

    monkeypatch.setattr(RunFolder, "write_json", fill)
    failed = jobs.run(NAME, shutil.copytree(finished, tmp_path / "run"), *FLAGS)
    assert failed.code == 1
    assert "No space left on device" in failed.err
    assert failed.err.count("\n") == 1
    assert "errors on unseen strings" in failed.out
