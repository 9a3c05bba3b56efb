"""A laboratory for hierarchical learning.

The public face: what is imported here is what examples and experiments build on. Each name is
documented where it is defined.
"""

from hierjax.measure.fits import PowerLaw, Threshold, crossing, power_law, threshold
from hierjax.measure.label_report import LabelReport, label_report
from hierjax.measure.layer_report import LayerReport, LearnerReport, layer_report
from hierjax.measure.metrics import error_rate, separation, spread, squared_loss
from hierjax.models.conv_stack import ConvStack, PatchConv
from hierjax.models.residual_net import ResidualNet
from hierjax.models.residual_stack import ResidualStack, check_stack
from hierjax.models.shallow_net import ShallowNet, one_hot_strings
from hierjax.models.taylor import empirical_ntk, linearize, quadratic
from hierjax.models.two_layer_net import TwoLayerNet
from hierjax.runs.checkpoint import LayerCheckpoints
from hierjax.runs.hosts import HostLostError, Hosts, meet, meet_on_tpu
from hierjax.runs.parallel import (
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
from hierjax.runs.stages import Stage, layer_stage
from hierjax.runs.sweep import Measured, Sweep
from hierjax.tasks.batch import Batch
from hierjax.tasks.circuits import BrainDump, BrainDumpSpec, draw_brain_dump, draw_circuit
from hierjax.tasks.grammars import (
    check_latin_square,
    draw_random_hierarchy,
    from_rules,
    latin_square_top,
    load_grammar,
    save_grammar,
)
from hierjax.tasks.label_hierarchies import automaton, draw_reversible_hierarchy
from hierjax.tasks.label_hierarchy import LabelHierarchy, LabelLevel
from hierjax.tasks.polynomials import (
    LowRankPolynomial,
    PolynomialSpec,
    draw_low_rank_polynomial,
)
from hierjax.tasks.ptf_hierarchy import PTFSpec, draw_ptf_hierarchy, require_balanced
from hierjax.tasks.random_hierarchy import RandomHierarchy, RandomHierarchySpec
from hierjax.tasks.splits import Split, check_split, make_split, require_filled
from hierjax.tasks.staircases import (
    CubePolynomial,
    fourier_coefficients,
    leap,
    merged_staircase,
    parity,
    prefix_sets,
    staircase,
)
from hierjax.theory.brain_dump import (
    estimate_vote_coefficients,
    recovery_coefficients,
    vote_coefficients,
    vote_weight,
)
from hierjax.theory.kernels import fully_connected_kernels
from hierjax.theory.random_hierarchy import class_signal, predicted_num_train
from hierjax.train.best_of import Best, BestOf
from hierjax.train.block_layer import BlockConfig, BlockLayer, TrainedBlock, residual_layers
from hierjax.train.descent import Descent, DescentState, Objective
from hierjax.train.kernel_ridge import (
    Kernel,
    KernelMachine,
    KernelRidge,
    gram_bytes,
    radial_kernels,
)
from hierjax.train.label_learners import (
    end_to_end_label_learner,
    linear_label_learner,
    shallow_label_learner,
)
from hierjax.train.layerwise import Layer, RoundsLayer, forward, train_layerwise
from hierjax.train.learners import (
    MAX_KERNEL_TRAIN,
    NetworkConfig,
    end_to_end_learner,
    kernel_learner,
    shallow_learner,
)
from hierjax.train.losses import SQUARED, Loss, label_loss
from hierjax.train.network import (
    Network,
    NetworkLayer,
    TrainedNetwork,
    merge_variables,
    network_layers,
)
from hierjax.train.patch_layer import PatchLayer, PatchLayerConfig
from hierjax.train.patch_stack import patch_layers
from hierjax.train.probed import Probed, ProbedFit
from hierjax.train.quadratic_learner import quadratic_learner
from hierjax.train.representation import (
    REPRESENTATIONS,
    Representation,
    RepresentationLayer,
)
from hierjax.train.share_batch import share_batch
from hierjax.train.taylor_layer import TaylorLayer, TrainedTaylor

__all__ = [
    "MAX_KERNEL_TRAIN",
    "REPRESENTATIONS",
    "SQUARED",
    "Batch",
    "Best",
    "BestOf",
    "BlockConfig",
    "BlockLayer",
    "BrainDump",
    "BrainDumpSpec",
    "ConvStack",
    "CubePolynomial",
    "Descent",
    "DescentState",
    "FittedLayer",
    "HostLostError",
    "Hosts",
    "Kernel",
    "KernelMachine",
    "KernelRidge",
    "LabelHierarchy",
    "LabelLevel",
    "LabelReport",
    "Layer",
    "LayerCheckpoints",
    "LayerReport",
    "LearnerReport",
    "Loss",
    "LowRankPolynomial",
    "Measured",
    "Network",
    "NetworkConfig",
    "NetworkLayer",
    "Objective",
    "PTFSpec",
    "PatchConv",
    "PatchLayer",
    "PatchLayerConfig",
    "Point",
    "PolynomialSpec",
    "PowerLaw",
    "Probed",
    "ProbedFit",
    "RandomHierarchy",
    "RandomHierarchySpec",
    "Representation",
    "RepresentationLayer",
    "ResidualNet",
    "ResidualStack",
    "RoundsLayer",
    "RunFolder",
    "Seeds",
    "SeedsTrainer",
    "ShallowNet",
    "Split",
    "Stage",
    "Sweep",
    "TaylorLayer",
    "Threshold",
    "TrainedBlock",
    "TrainedNetwork",
    "TrainedTaylor",
    "TwoLayerNet",
    "automaton",
    "check_latin_square",
    "check_split",
    "check_stack",
    "class_signal",
    "crossing",
    "data_mesh",
    "device_name",
    "draw_brain_dump",
    "draw_circuit",
    "draw_low_rank_polynomial",
    "draw_ptf_hierarchy",
    "draw_random_hierarchy",
    "draw_reversible_hierarchy",
    "empirical_ntk",
    "end_to_end_label_learner",
    "end_to_end_learner",
    "error_rate",
    "estimate_vote_coefficients",
    "forward",
    "fourier_coefficients",
    "free_memory",
    "from_rules",
    "fully_connected_kernels",
    "gram_bytes",
    "kernel_learner",
    "label_loss",
    "label_report",
    "latin_square_top",
    "layer_report",
    "layer_stage",
    "leap",
    "linear_label_learner",
    "linearize",
    "load_grammar",
    "make_split",
    "map_seeds",
    "meet",
    "meet_on_tpu",
    "merge_variables",
    "merged_staircase",
    "network_layers",
    "one_hot_strings",
    "parity",
    "patch_layers",
    "power_law",
    "predicted_num_train",
    "prefix_sets",
    "quadratic",
    "quadratic_learner",
    "radial_kernels",
    "recovery_coefficients",
    "require_balanced",
    "require_filled",
    "residual_layers",
    "save_grammar",
    "seed_chunks",
    "seed_keys",
    "seed_mesh",
    "separation",
    "shallow_label_learner",
    "shallow_learner",
    "share_batch",
    "spread",
    "squared_loss",
    "staircase",
    "threshold",
    "train_layerwise",
    "vote_coefficients",
    "vote_weight",
]
