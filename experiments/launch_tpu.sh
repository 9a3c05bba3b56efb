#!/usr/bin/env bash
# Runs one command on all hosts of a TPU slice, from a machine with gcloud, until it is done.
#
#   NAME=my-tpu ZONE=us-central2-b experiments/launch_tpu.sh \
#       python -m experiments.sample_complexity --num_seeds 1000 --workdir gs://bucket/run
#
# Each host gets a clone of REPO (a URL; by default where this clone is from) in ~/hierjax, all at
# the commit that REPO has now, and JAX for TPU in ~/hierjax/.venv, made by PYTHON (python3 by
# default; 3.11 or later). Several hosts need a workdir that all of them share, in a bucket or by its
# full path. Of a single host without one, ~/hierjax/runs is copied to ./runs in the end.
#
# The command is started again until it exits with 0, or with 2 (a bad request) or 130 (interrupted),
# at most TRIES times (100), each time PAUSE seconds (30) after it ended, and when the slice is READY:
# one that was preempted is waited for. Ctrl-C ends the command on all hosts, after they have saved.
set -euo pipefail

: "${NAME:?name of the TPU VM}" "${ZONE:?its zone}" "${1:?a command}"
HERE=$(dirname "$0")
REPO=${REPO:-$(git -C "$HERE" remote get-url origin)}
PYTHON=${PYTHON:-python3} TRIES=${TRIES:-100} PAUSE=${PAUSE:-30}

say() {
    echo "launch_tpu.sh: $*" >&2
}

describe() {
    gcloud compute tpus tpu-vm describe "$NAME" --zone "$ZONE" "$@"
}

on_hosts() {
    gcloud compute tpus tpu-vm ssh "$NAME" --zone "$ZONE" --worker all </dev/null \
        --command "exec $(printf '%q ' bash -c "$(cat "$HERE/launch_tpu_host.sh")" launch "$@")"
}

workdir_of() {
    while test "$#" -gt 0; do
        case $1 in
            --workdir=*) echo "${1#*=}" ;;
            --workdir) echo "${2-}" ;;
        esac
        shift
    done | tail -n 1
}

await_ready() {
    local state seen=''
    while state=$(describe --format 'value(state)') || state=absent; test "$state" != READY; do
        if test "$state" != "$seen"; then
            say "$NAME is $state: waiting until it is READY; a slice that was preempted must be" \
                "created again under this name"
        fi
        seen=$state
        sleep "$PAUSE"
    done
}

run_once() {
    await_ready
    on_hosts prepare "$REPO" "$commit" "$PYTHON" || return
    set -m # In a group of its own, gcloud hears nothing of Ctrl-C, and ends when the hosts do.
    on_hosts run "$@" &
    set +m
    running=$!
    trap 'stop 130' INT
    trap 'stop 143' TERM
    local code=0
    wait "$running" || code=$?
    trap - INT TERM
    return "$code"
}

# shellcheck disable=SC2329 # It is called by traps.
stop() {
    trap - INT TERM
    say "ending the command on all hosts (Ctrl-C: leave it to them)"
    on_hosts end || true
    wait "$running" || true
    copy_runs
    exit "$1"
}

copy_runs() {
    if test "$is_local" = yes; then
        gcloud compute tpus tpu-vm scp --recurse "$NAME:hierjax/runs" . --zone "$ZONE" ||
            say "the run folders could not be copied from $NAME"
    fi
}

addresses=$(describe --flatten 'networkEndpoints[]' --format 'value(networkEndpoints.ipAddress)') ||
    exit 2
num_hosts=$(wc -w <<<"$addresses")
workdir=$(workdir_of "$@")
case $workdir in /* | *://*) is_local=no ;; *) is_local=yes ;; esac
if test "$num_hosts" -gt 1 && test "$is_local" = yes; then
    say "$NAME has $((num_hosts)) hosts, each with a folder '$workdir' of its own: give --workdir" \
        "gs://bucket/folder, or the full path of a folder that they share"
    exit 2
fi
commit=$(git ls-remote "$REPO" HEAD | cut -f 1) || exit 2

for try in $(seq "$TRIES"); do
    code=0
    run_once "$@" || code=$?
    case $code in 0 | 2 | 130) break ;; esac
    say "try $try of $TRIES ended with exit code $code"
    if test "$try" -lt "$TRIES"; then sleep "$PAUSE"; fi
done
if test "$code" != 2; then copy_runs; fi
exit "$code"
