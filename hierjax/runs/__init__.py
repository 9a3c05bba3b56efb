"""The host's side: declared experiments, devices, seeds, checkpoints, records, sweeps.

What a run is:
  requests.py       RunRequest, SweepRequest: what runs are asked for, fields of which are flags;
                    nested, leaves, build, identity.
  meshes.py         MeshRequest: where devices may share batches.
  experiment.py     LayerwiseExperiment, SweepExperiment: declarations of experiments; Stack,
                    Measure, measures, described, Registry, Result, Results, ERROR.
  layerwise_run.py  LayerwiseRun: carries out the former; total_seconds.
  sweep_run.py      SweepRun: carries out the latter.
  progress.py       Progress: how far a run is, for people.

Learners, each declared once for all commands, in learners/:
  learners/strings.py        STRING_LEARNERS, of random hierarchies; LearnerSettings, obstacle,
                             PRESETS.
  learners/grammars.py       GrammarSettings: how the grammars of a run are drawn.
  learners/string_points.py  draw_strings, DrawStrings: what a seed draws, StringData; StringNoise:
                             how strings are seen; StringCell: a point of a sweep; spec_name;
                             MOST_TRAIN.
  learners/tokens.py         TOKEN_MODELS, of tokens of random hierarchies; TokenSettings;
                             OBJECTIVES, TokenObjective: what they are asked; draw_tokens: what a
                             seed draws, TokenData; token_stack, AskedTokens; of_tokens.
  learners/denoisers.py      DENOISERS, of noisy strings; DenoiserSettings; draw_denoising: what a
                             seed draws, DenoisingData, NoisyStrings; denoiser_stack,
                             AskedDenoising; levels_of_noise, share_kept, share_valid, parsed.
  learners/corrections.py    CORRECTIONS, ways to train one network: layer by layer, and together;
                             CorrectionCell: a point of a sweep.
  learners/token_layers.py   TOKEN_LEARNERS, of tokens, layer by layer or whole; TokenLayerSettings.
  learners/token_points.py   TokenCell: a point of a sweep of these.
  learners/masks.py          draw_masked: masked strings, MaskedData, and models beside inference.
  learners/languages.py      draw_languages: strings that differ in length, LanguageData,
                             LanguageTest; language_stacks: their learners; token_answers: what
                             their tokens cost a model; written: strings that a model writes.
  learners/brackets.py       closing_answers: how models close brackets.
  learners/blocks.py         BlocksConfig: transformers that differ in their number of blocks.
  learners/trees.py          draw_trees: strings with one node changed, TreeData.
  learners/labels.py         LABEL_LEARNERS, of many labels; StackConfig; draw_labels: what a seed
                             draws, LabelData; label_stacks, task_key.
  learners/polynomials.py    POLYNOMIAL_LEARNERS; PolynomialSettings, NTKConfig.
  learners/staircases.py     StaircaseSettings: staircases and parities, and the residual network
                             that learns them; draw_staircases: what a seed draws,
                             StaircaseData; relative_error.

Strings in files, in datasets/:
  datasets/shards.py         What the files are called and hold.
  datasets/writer.py         DatasetWriter, write_dataset: shards that a kill does not lose, of
                             DatasetSizes.
  datasets/reader.py         StringDataset, open_dataset: batches of arrays of numpy.
  datasets/conversions.py    to_torch, to_hugging_face: the same strings for other libraries.
  datasets/torch_strings.py  The dataset of PyTorch, which it imports.

Layers for many seeds:
  hosts.py          together, from_first, must_end, ...: processes that run one program, one on
                    each host.
  parallel.py       root_key, seed_keys, seed_mesh, data_mesh, map_seeds: a pure function mapped
                    over seeds and devices; compile_for, is_one_cpu, IMPLS.
  memory.py         free_memory, sharing_memory: what is free, and what programs need.
  stages.py         Stage, layer_stages: how each layer of a stack is fitted for one seed.
  seeds.py          Seeds: what each draws, and the devices that work on them.
  seeds_trainer.py  SeedsTrainer, FittedLayer: layers fitted and measured for many seeds.
  rounds.py         Rounds: fits in rounds, saved between rounds.
  activations.py    activation_arrays: features of layers with the trees of their strings.
  checkpoint.py     LayerCheckpoints: parameters of finished layers on disk, by Orbax.
  record.py         RunFolder: the request, events, summary and figure of a run.
  local_folder.py   LocalFolder: where a run folder is, one run at a time.
  bucket_folder.py  BucketFolder: the same in a bucket.
  events.py         Events: lines of JSON, checked when they are read.
  conditions.py     PINNED, under, xla_flags: what numbers depend on beside the request.
  environment.py    device_name, peak_memory: where a run runs.
  trackers.py       TRACKERS, require_trackers: TensorBoard and Weights & Biases, told of events.
  profile.py        Profile: a trace of some rounds.

Grids of points by seeds, in sweeps/:
  sweeps/sweep.py          Sweep, Measured: the points that are missing are measured and recorded;
                           require_measured: none was skipped.
  sweeps/points.py         Point, and the tasks that a sweep is divided into.
  sweeps/programs.py       The compiled programs of points.
  sweeps/workers.py        What a process does that measures, and whether it may.
  sweeps/executors.py      Threads of this process, and the outcomes of any executor.
  sweeps/dask_workers.py   workers_of: workers of Dask.
  sweeps/dask_executor.py  What makes an executor of Dask's client.
"""

from hierjax.runs.activations import activation_arrays
from hierjax.runs.checkpoint import LayerCheckpoints
from hierjax.runs.conditions import PINNED, under, xla_flags
from hierjax.runs.datasets.conversions import to_hugging_face, to_torch
from hierjax.runs.datasets.reader import StringDataset, open_dataset
from hierjax.runs.datasets.writer import DatasetSizes, DatasetWriter, write_dataset
from hierjax.runs.environment import device_name
from hierjax.runs.experiment import (
    ERROR,
    LayerwiseExperiment,
    Measure,
    Registry,
    Result,
    Results,
    Stack,
    SweepExperiment,
    described,
    measures,
)
from hierjax.runs.layerwise_run import LayerwiseRun, total_seconds
from hierjax.runs.learners.blocks import BlocksConfig
from hierjax.runs.learners.brackets import closing_answers
from hierjax.runs.learners.corrections import CORRECTIONS, CorrectionCell
from hierjax.runs.learners.denoisers import (
    DENOISERS,
    AskedDenoising,
    DenoiserSettings,
    DenoisingData,
    NoisyStrings,
    denoiser_stack,
    draw_denoising,
    levels_of_noise,
    parsed,
    share_kept,
    share_valid,
)
from hierjax.runs.learners.grammars import GrammarSettings
from hierjax.runs.learners.labels import (
    LABEL_LEARNERS,
    LabelData,
    StackConfig,
    draw_labels,
    label_stacks,
    task_key,
)
from hierjax.runs.learners.languages import (
    LanguageData,
    LanguageTest,
    draw_languages,
    language_stacks,
    token_answers,
    written,
)
from hierjax.runs.learners.masks import MaskedData, draw_masked
from hierjax.runs.learners.polynomials import POLYNOMIAL_LEARNERS, NTKConfig, PolynomialSettings
from hierjax.runs.learners.staircases import (
    StaircaseData,
    StaircaseSettings,
    draw_staircases,
    relative_error,
)
from hierjax.runs.learners.string_points import (
    MOST_TRAIN,
    DrawStrings,
    StringCell,
    StringData,
    StringNoise,
    draw_strings,
    spec_name,
)
from hierjax.runs.learners.strings import PRESETS, STRING_LEARNERS, LearnerSettings, obstacle
from hierjax.runs.learners.token_layers import TOKEN_LEARNERS, TokenLayerSettings
from hierjax.runs.learners.token_points import TokenCell
from hierjax.runs.learners.tokens import (
    OBJECTIVES,
    TOKEN_MODELS,
    AskedTokens,
    TokenData,
    TokenObjective,
    TokenSettings,
    draw_tokens,
    of_tokens,
    token_stack,
)
from hierjax.runs.learners.trees import TreeData, draw_trees
from hierjax.runs.memory import free_memory, sharing_memory
from hierjax.runs.meshes import MeshRequest
from hierjax.runs.parallel import (
    IMPLS,
    compile_for,
    data_mesh,
    is_one_cpu,
    map_seeds,
    root_key,
    seed_keys,
    seed_mesh,
)
from hierjax.runs.progress import Progress
from hierjax.runs.record import RunFolder
from hierjax.runs.requests import RunRequest, SweepRequest, build, identity, leaves, nested
from hierjax.runs.seeds import Seeds
from hierjax.runs.seeds_trainer import FittedLayer, SeedsTrainer
from hierjax.runs.stages import Stage, layer_stages
from hierjax.runs.sweep_run import SweepRun
from hierjax.runs.sweeps.dask_workers import workers_of
from hierjax.runs.sweeps.points import Point
from hierjax.runs.sweeps.sweep import Measured, Sweep, require_measured
from hierjax.runs.trackers import TRACKERS, require_trackers

__all__ = [
    "CORRECTIONS",
    "DENOISERS",
    "ERROR",
    "IMPLS",
    "LABEL_LEARNERS",
    "MOST_TRAIN",
    "OBJECTIVES",
    "PINNED",
    "POLYNOMIAL_LEARNERS",
    "PRESETS",
    "STRING_LEARNERS",
    "TOKEN_LEARNERS",
    "TOKEN_MODELS",
    "TRACKERS",
    "AskedDenoising",
    "AskedTokens",
    "BlocksConfig",
    "CorrectionCell",
    "DatasetSizes",
    "DatasetWriter",
    "DenoiserSettings",
    "DenoisingData",
    "DrawStrings",
    "FittedLayer",
    "GrammarSettings",
    "LabelData",
    "LanguageData",
    "LanguageTest",
    "LayerCheckpoints",
    "LayerwiseExperiment",
    "LayerwiseRun",
    "LearnerSettings",
    "MaskedData",
    "Measure",
    "Measured",
    "MeshRequest",
    "NTKConfig",
    "NoisyStrings",
    "Point",
    "PolynomialSettings",
    "Progress",
    "Registry",
    "Result",
    "Results",
    "RunFolder",
    "RunRequest",
    "Seeds",
    "SeedsTrainer",
    "Stack",
    "StackConfig",
    "Stage",
    "StaircaseData",
    "StaircaseSettings",
    "StringCell",
    "StringData",
    "StringDataset",
    "StringNoise",
    "Sweep",
    "SweepExperiment",
    "SweepRequest",
    "SweepRun",
    "TokenCell",
    "TokenData",
    "TokenLayerSettings",
    "TokenObjective",
    "TokenSettings",
    "TreeData",
    "activation_arrays",
    "build",
    "closing_answers",
    "compile_for",
    "data_mesh",
    "denoiser_stack",
    "described",
    "device_name",
    "draw_denoising",
    "draw_labels",
    "draw_languages",
    "draw_masked",
    "draw_staircases",
    "draw_strings",
    "draw_tokens",
    "draw_trees",
    "free_memory",
    "identity",
    "is_one_cpu",
    "label_stacks",
    "language_stacks",
    "layer_stages",
    "leaves",
    "levels_of_noise",
    "map_seeds",
    "measures",
    "nested",
    "obstacle",
    "of_tokens",
    "open_dataset",
    "parsed",
    "relative_error",
    "require_measured",
    "require_trackers",
    "root_key",
    "seed_keys",
    "seed_mesh",
    "share_kept",
    "share_valid",
    "sharing_memory",
    "spec_name",
    "task_key",
    "to_hugging_face",
    "to_torch",
    "token_answers",
    "token_stack",
    "total_seconds",
    "under",
    "workers_of",
    "write_dataset",
    "written",
    "xla_flags",
]
