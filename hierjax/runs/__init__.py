"""The host's side: declared experiments, devices, seeds, checkpoints, records, sweeps.

What a run is:
  requests.py       RunRequest, SweepRequest: what runs are asked for, the fields of which are flags;
                    nested, leaves, build, identity.
  experiment.py     LayerwiseExperiment, SweepExperiment: declarations of experiments; Stack,
                    Measure, measures, Registry, Result, Results, Progress, ERROR.
  layerwise_run.py  LayerwiseRun: carries out the former; total_seconds.
  sweep_run.py      SweepRun: carries out the latter.

Layers for many seeds:
  parallel.py       seed_keys, seed_mesh, data_mesh, map_seeds: a pure function mapped over seeds
                    and devices; seed_chunks, compile_for, free_memory, IMPLS.
  stages.py         Stage, layer_stages: how each layer of a stack is fitted for one seed.
  seeds.py          Seeds, SeedsTrainer, FittedLayer: layers fitted and measured for many seeds.
  checkpoint.py     LayerCheckpoints: parameters of finished layers on disk, by Orbax.
  record.py         RunFolder: the request, events, summary and figure of a run; device_name.

Grids of points by seeds:
  sweep.py          Sweep, Measured: the points that are missing are measured and recorded.
  points.py         Point, and the tasks that a sweep is divided into.
  programs.py       The compiled programs of points.
  workers.py        What a process does that measures, and whether it may.
  executors.py      Threads of this process, and the outcomes of any executor.
  dask_workers.py   workers_of: workers of Dask.
"""

from hierjax.runs.checkpoint import LayerCheckpoints
from hierjax.runs.dask_workers import workers_of
from hierjax.runs.experiment import (
    ERROR,
    LayerwiseExperiment,
    Measure,
    Progress,
    Registry,
    Result,
    Results,
    Stack,
    SweepExperiment,
    measures,
)
from hierjax.runs.layerwise_run import LayerwiseRun, total_seconds
from hierjax.runs.parallel import (
    IMPLS,
    compile_for,
    data_mesh,
    free_memory,
    map_seeds,
    seed_chunks,
    seed_keys,
    seed_mesh,
)
from hierjax.runs.points import Point
from hierjax.runs.record import RunFolder, device_name
from hierjax.runs.requests import RunRequest, SweepRequest, build, identity, leaves, nested
from hierjax.runs.seeds import FittedLayer, Seeds, SeedsTrainer
from hierjax.runs.stages import Stage, layer_stages
from hierjax.runs.sweep import Measured, Sweep
from hierjax.runs.sweep_run import SweepRun

__all__ = [
    "ERROR",
    "IMPLS",
    "FittedLayer",
    "LayerCheckpoints",
    "LayerwiseExperiment",
    "LayerwiseRun",
    "Measure",
    "Measured",
    "Point",
    "Progress",
    "Registry",
    "Result",
    "Results",
    "RunFolder",
    "RunRequest",
    "Seeds",
    "SeedsTrainer",
    "Stack",
    "Stage",
    "Sweep",
    "SweepExperiment",
    "SweepRequest",
    "SweepRun",
    "build",
    "compile_for",
    "data_mesh",
    "device_name",
    "free_memory",
    "identity",
    "layer_stages",
    "leaves",
    "map_seeds",
    "measures",
    "nested",
    "seed_chunks",
    "seed_keys",
    "seed_mesh",
    "total_seconds",
    "workers_of",
]
