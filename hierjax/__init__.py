"""A laboratory for hierarchical learning.

The public face: what is imported here is what examples and experiments build on. Each name is
documented where it is defined.
"""

from hierjax.checkpoint import LayerCheckpoints
from hierjax.measure.layer_report import LayerReport, LearnerReport, layer_report
from hierjax.measure.metrics import error_rate, separation, spread, squared_loss
from hierjax.models.conv_stack import ConvStack, PatchConv
from hierjax.models.shallow_net import ShallowNet, one_hot_strings
from hierjax.parallel import data_mesh, map_seeds, seed_keys, seed_mesh, share_batch
from hierjax.record import RunFolder
from hierjax.tasks.batch import Batch
from hierjax.tasks.grammars import (
    draw_random_hierarchy,
    from_rules,
    latin_square_top,
    load_grammar,
    save_grammar,
)
from hierjax.tasks.random_hierarchy import RandomHierarchy, RandomHierarchySpec
from hierjax.tasks.splits import Split, check_split, make_split, require_filled
from hierjax.theory.random_hierarchy import class_signal, predicted_num_train
from hierjax.train.descent import Descent, DescentState, Objective
from hierjax.train.kernel_ridge import KernelMachine, KernelRidge
from hierjax.train.layerwise import Layer, RoundsLayer, forward, train_layerwise
from hierjax.train.learners import (
    MAX_KERNEL_TRAIN,
    NetworkConfig,
    end_to_end_learner,
    kernel_learner,
    shallow_learner,
)
from hierjax.train.network import (
    Network,
    NetworkLayer,
    TrainedNetwork,
    merge_variables,
    network_layers,
)
from hierjax.train.patch_layer import PatchLayer, PatchLayerConfig
from hierjax.train.patch_stack import patch_layers
from hierjax.train.seeds import FittedLayer, Seeds, SeedsTrainer
from hierjax.train.stages import Stage, layer_stage

__all__ = [
    "MAX_KERNEL_TRAIN",
    "Batch",
    "ConvStack",
    "Descent",
    "DescentState",
    "FittedLayer",
    "KernelMachine",
    "KernelRidge",
    "Layer",
    "LayerCheckpoints",
    "LayerReport",
    "LearnerReport",
    "Network",
    "NetworkConfig",
    "NetworkLayer",
    "Objective",
    "PatchConv",
    "PatchLayer",
    "PatchLayerConfig",
    "RandomHierarchy",
    "RandomHierarchySpec",
    "RoundsLayer",
    "RunFolder",
    "Seeds",
    "SeedsTrainer",
    "ShallowNet",
    "Split",
    "Stage",
    "TrainedNetwork",
    "check_split",
    "class_signal",
    "data_mesh",
    "draw_random_hierarchy",
    "end_to_end_learner",
    "error_rate",
    "forward",
    "from_rules",
    "kernel_learner",
    "latin_square_top",
    "layer_report",
    "layer_stage",
    "load_grammar",
    "make_split",
    "map_seeds",
    "merge_variables",
    "network_layers",
    "one_hot_strings",
    "patch_layers",
    "predicted_num_train",
    "require_filled",
    "save_grammar",
    "seed_keys",
    "seed_mesh",
    "separation",
    "shallow_learner",
    "share_batch",
    "spread",
    "squared_loss",
    "train_layerwise",
]
