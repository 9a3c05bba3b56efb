"""The host's side: devices, seeds, checkpoints, records, and grids of points by seeds.

parallel.py     seed_keys, seed_mesh, data_mesh, map_seeds: a pure function mapped over seeds and
                devices; seed_chunks, compile_for, free_memory, IMPLS.
stages.py       Stage, layer_stages: how each layer of a stack is fitted for one seed.
seeds.py        Seeds, SeedsTrainer, FittedLayer: the layers of a stack, fitted for many seeds and
                measured.
checkpoint.py   LayerCheckpoints: parameters of finished layers on disk, by Orbax.
record.py       RunFolder: the request, events, summary and figure of a run; device_name.
"""

from hierjax.runs.checkpoint import LayerCheckpoints
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
from hierjax.runs.point_program import Point
from hierjax.runs.record import RunFolder, device_name
from hierjax.runs.seeds import FittedLayer, Seeds, SeedsTrainer
from hierjax.runs.stages import Stage, layer_stages
from hierjax.runs.sweep import Measured, Sweep

__all__ = [
    "IMPLS",
    "FittedLayer",
    "LayerCheckpoints",
    "Measured",
    "Point",
    "RunFolder",
    "Seeds",
    "SeedsTrainer",
    "Stage",
    "Sweep",
    "compile_for",
    "data_mesh",
    "device_name",
    "free_memory",
    "layer_stages",
    "map_seeds",
    "seed_chunks",
    "seed_keys",
    "seed_mesh",
]
