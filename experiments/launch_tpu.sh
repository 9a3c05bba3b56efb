#!/bin/sh
# Runs one command on every host of a TPU VM slice, from a machine with gcloud.
#
#   NAME=my-slice ZONE=us-central2-b experiments/launch_tpu.sh \
#       python3 -m experiments.sample_complexity --num_seeds 1000 --workdir runs/sweep
#
# The first call clones REPO (a URL) to ~/hierjax on each host and installs JAX for TPU. Host 0
# writes; the last line copies its run folders back. Calling it again goes on with the run.
set -eu

: "${NAME:?name of the TPU VM}" "${ZONE:?its zone}"
REPO=${REPO:-$(git -C "$(dirname "$0")" remote get-url origin)}

on_hosts() {
    gcloud compute tpus tpu-vm ssh "$NAME" --zone "$ZONE" --worker "$1" --command "$2"
}

on_hosts all "test -d hierjax || git clone --quiet '$REPO' hierjax
    python3 -c 'import libtpu, orbax' 2>/dev/null || python3 -m pip install --quiet './hierjax[tpu]'"
on_hosts all "cd hierjax && $*"
gcloud compute tpus tpu-vm scp --recurse "$NAME:hierjax/runs" . --zone "$ZONE" --worker 0
