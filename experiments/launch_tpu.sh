#!/usr/bin/env bash
# Runs one command on every host of a TPU VM slice, from a machine with gcloud.
#
#   NAME=my-slice ZONE=us-central2-b experiments/launch_tpu.sh \
#       python3 -m experiments.sample_complexity --num_seeds 1000 --workdir runs/sweep
#
# Each host has a clone of REPO (a URL; by default where this clone is from) in ~/hierjax, which is
# brought up to date, and JAX for TPU. Host 0 writes; its run folders are copied to ./runs even if
# the command fails. Calling it again goes on with the run.
set -euo pipefail

: "${NAME:?name of the TPU VM}" "${ZONE:?its zone}" "${1:?a command}"
REPO=${REPO:-$(git -C "$(dirname "$0")" remote get-url origin)}

on_all_hosts() {
    gcloud compute tpus tpu-vm ssh "$NAME" --zone "$ZONE" --worker all --command "$1"
}

on_all_hosts "set -e
    if test -d hierjax; then git -C hierjax pull --quiet --ff-only
    else git clone --quiet $(printf %q "$REPO") hierjax; fi
    python3 -c 'import libtpu, orbax' 2>/dev/null || python3 -m pip install --quiet './hierjax[tpu]'"
code=0
on_all_hosts "cd hierjax && $(printf '%q ' "$@")" || code=$?
gcloud compute tpus tpu-vm scp --recurse "$NAME:hierjax/runs" . --zone "$ZONE" --worker 0
exit "$code"
