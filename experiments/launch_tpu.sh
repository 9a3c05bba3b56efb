#!/usr/bin/env bash
# Runs one command on a TPU VM of one host, from a machine with gcloud.
#
#   NAME=my-tpu ZONE=us-central2-b experiments/launch_tpu.sh \
#       python3 -m experiments.sample_complexity --num_seeds 1000 --workdir runs/sweep
#
# The host gets a clone of REPO (a URL; by default where this clone is from) in ~/hierjax, which is
# brought up to date, and JAX for TPU. Its run folders are copied to ./runs even if the command
# fails. Calling it again goes on with the run.
#
# A slice of several hosts is refused: one program over all of its hosts is not supported yet.
set -euo pipefail

: "${NAME:?name of the TPU VM}" "${ZONE:?its zone}" "${1:?a command}"
REPO=${REPO:-$(git -C "$(dirname "$0")" remote get-url origin)}

hosts=$(gcloud compute tpus tpu-vm describe "$NAME" --zone "$ZONE" \
    --flatten 'networkEndpoints[]' --format 'value(networkEndpoints.ipAddress)' | wc -l)
if test "$hosts" -gt 1; then
    echo "launch_tpu.sh: $NAME is a slice of $((hosts)) hosts, but only one is supported:" \
        "choose a TPU VM of one host" >&2
    exit 2
fi

on_host() {
    gcloud compute tpus tpu-vm ssh "$NAME" --zone "$ZONE" --command "$1"
}

on_host "set -e
    if test -d hierjax; then git -C hierjax pull --quiet --ff-only
    else git clone --quiet $(printf %q "$REPO") hierjax; fi
    python3 -c 'import libtpu, orbax' 2>/dev/null || python3 -m pip install --quiet './hierjax[tpu]'"
code=0
on_host "cd hierjax && $(printf '%q ' "$@")" || code=$?
gcloud compute tpus tpu-vm scp --recurse "$NAME:hierjax/runs" . --zone "$ZONE"
exit "$code"
