#!/usr/bin/env bash
#SBATCH --job-name=hierjax
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --signal=TERM@120
# Runs one command on all nodes of a Slurm job, and in further jobs until it is done.
#
#   sbatch --nodes=4 --exclusive experiments/launch_slurm.sh \
#       python -m experiments.sample_complexity --num_seeds 1000 --workdir /shared/run
#
# One process runs on each GPU of the nodes (sbatch --gpus-per-node=8), or one on each node where
# there are none. Give the command in the folder of the clone, with its environment active and a
# workdir that all nodes share. Compiled programs are kept in JAX_COMPILATION_CACHE_DIR, by default
# in ~/.cache/hierjax.
#
# Two minutes before the time limit Slurm sends SIGTERM to the processes, not to this script nor to
# srun, which would kill them: they save, and exit with 143. Then the job is queued again, and so it
# is by Slurm itself when a node fails or the job is preempted. Any other exit code, and scancel,
# ends it. Where two minutes are too few, give sbatch --signal=TERM@600.
set -euo pipefail

: "${SLURM_JOB_ID:?give this script to sbatch}" "${1:?a command}"
tasks=${SLURM_GPUS_ON_NODE:-1}
cpus=$((SLURM_CPUS_ON_NODE / tasks))
export JAX_COMPILATION_CACHE_DIR=${JAX_COMPILATION_CACHE_DIR:-$HOME/.cache/hierjax}
export JAX_NUM_CPU_DEVICES=${JAX_NUM_CPU_DEVICES:-$cpus}

# JAX has each process choose its GPU among all of the node.
code=0
srun --nodes="$SLURM_JOB_NUM_NODES" --ntasks=$((SLURM_JOB_NUM_NODES * tasks)) \
    --ntasks-per-node="$tasks" --cpus-per-task="$cpus" --gpu-bind=none --kill-on-bad-exit=1 \
    "$@" || code=$?
if test "$code" = 143; then
    scontrol requeue "$SLURM_JOB_ID"
fi
exit "$code"
