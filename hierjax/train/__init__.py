"""Training: pure functions of keys, examples and parameters; nothing here knows of files or hosts.

A learner is a stack of layers; one that is not trained layer by layer is a stack of one layer.

The one loop, and what a layer is:
  layerwise.py          Layer, RoundsLayer (its fit goes in rounds), ScoringLayer (it predicts by
                        itself), ChoosingLayer (it chooses on held-out examples);
                        train_layerwise, forward, class_scores, layer_key.

Layers and the stacks made of them:
  patches/maps.py       PatchMaps: what layers that map features of patches have in common.
  patches/layer.py      PatchLayer: layers of the convolutional stack matched to a random hierarchy.
  patches/config.py     PatchLayerConfig, their choices (TARGETS, NORMALIZERS); PAPER, those of
                        arXiv 2601.19756.
  patches/table.py      TableLayer: the first of them, with an entry for every tuple of leaves.
  patches/descent.py    DescentPatchLayer: a patch layer trained by minibatches.
  patches/kernel.py     KernelPatchLayer: a patch layer with infinitely many features.
  patches/stack.py      patch_layers: the whole stack; strings_of_layer, string_bounds: which
                        strings each layer is fitted on; check_table.
  patches/clusters.py   ClusterLayer: synonyms found by k-means; one_step_layers, a stack of them
                        by one gradient step, latent_cluster_layers by what siblings hold.
  patches/context.py    ContextLayer, ContextTable: what stands beside a patch is predicted, without
                        labels; context_layers, a stack of them, and its choices, ContextConfig.
  patches/readout.py    token_readout: tokens told by what layers have found of a tree; as_rows.
  block_layer.py        BlockLayer, BlockConfig: blocks of a residual stack, fitted on all labels
                        (BLOCK_SOLVERS, ACCEPT); TrainedBlock.
  block_descent.py      DescentBlockLayer: a block trained by minibatches.
  block_stack.py        residual_layers: all blocks of a residual stack.
  network.py            Network: a Flax module of your own, trained whole; TrainedNetwork.
  network_layers.py     network_layers: one that is trained layer by layer, each a NetworkLayer;
                        merge_variables.
  joint.py              joint_network: all layers of a stack together, once each has been trained.
  kernel_ridge.py       KernelRidge, KernelMachine: kernel ridge regression; Kernel,
                        radial_kernels, RADIAL, gram_bytes.
  representation.py     RepresentationLayer, Representation: a whitened random representation
                        (REPRESENTATIONS).
  taylor_layer.py       TaylorLayer: one term of a module's Taylor expansion, TrainedTaylor.
  best_of.py            BestOf, Best: the one of several layers, each a Candidate, that does best
                        on held-out examples.
  product_layer.py      ProductLayer, FoundProducts: products of two signs, found level by level;
                        product_supports, which inputs they multiply.
  probed.py             Probed, ProbedFit: a layer that is looked at while it is fitted.
  streamed.py           Streamed: a network that is trained on other examples in every round;
                        Source: what they are drawn from.

Learners with all of their choices made:
  learners.py           Of strings: end_to_end_learner, shallow_learner, kernel_learner, and how
                        they are tuned: NetworkConfig, ShallowConfig, KernelConfig;
                        clip_gradients.
  label_learners.py     Of many labels: linear_label_learner, shallow_label_learner,
                        end_to_end_label_learner; LabelBaselines, how they are tuned.
  token_learners.py     Of tokens: token_learner; TransformerConfig, TokenStackConfig,
                        TokenTraining: how models are built and trained; require_causal.
  quadratic_learner.py  quadratic_learner, QuadraticModels: the quadratic Taylor model, and how it
                        is tuned, QuadraticConfig.

How parameters are fitted:
  descent.py            Descent: minibatches by optax, over a grid of choices; DescentState.
  averaging.py          averaged: an optimizer that keeps an average of the parameters.
  adamw.py              AdamWConfig; StoppedTraining: descent that held-out examples stop.
  objective.py          Objective: what descent minimises, and its gradient.
  solvers.py            gradient_descent, ridge, ridge_descent: least squares; SOLVERS and DESCENTS
                        by name.
  k_means.py            k_means: clusters of points.
  unit_features.py      Random units, centred and scaled: UnitFeatures, draw_features, best_rate.
  losses.py             Loss, CROSS_ENTROPY, TOKEN_CROSS_ENTROPY, SQUARED, SQUARED_CLASSES,
                        label_loss, LABEL_LOSSES.
  validation.py         num_fitted: how many examples are fitted while others are held out.
  lanes.py              Branches that are taken for all lanes of a vmap together.
"""

from hierjax.train.adamw import AdamWConfig, StoppedTraining
from hierjax.train.averaging import averaged
from hierjax.train.best_of import Best, BestOf, Candidate
from hierjax.train.block_descent import DescentBlockLayer
from hierjax.train.block_layer import (
    ACCEPT,
    BLOCK_SOLVERS,
    BlockConfig,
    BlockLayer,
    TrainedBlock,
)
from hierjax.train.block_stack import residual_layers
from hierjax.train.descent import Descent, DescentState
from hierjax.train.joint import joint_network
from hierjax.train.k_means import k_means
from hierjax.train.kernel_ridge import (
    RADIAL,
    Kernel,
    KernelMachine,
    KernelRidge,
    gram_bytes,
    radial_kernels,
)
from hierjax.train.label_learners import (
    LabelBaselines,
    end_to_end_label_learner,
    linear_label_learner,
    shallow_label_learner,
)
from hierjax.train.layerwise import (
    ChoosingLayer,
    Layer,
    RoundsLayer,
    ScoringLayer,
    class_scores,
    forward,
    layer_key,
    train_layerwise,
)
from hierjax.train.learners import (
    MAX_KERNEL_TRAIN,
    OPTIMIZERS,
    SCHEDULES,
    KernelConfig,
    NetworkConfig,
    ShallowConfig,
    clip_gradients,
    end_to_end_learner,
    kernel_learner,
    shallow_learner,
)
from hierjax.train.losses import (
    CROSS_ENTROPY,
    LABEL_LOSSES,
    SQUARED,
    SQUARED_CLASSES,
    TOKEN_CROSS_ENTROPY,
    Loss,
    label_loss,
)
from hierjax.train.network import Network, TrainedNetwork
from hierjax.train.network_layers import NetworkLayer, merge_variables, network_layers
from hierjax.train.objective import Objective
from hierjax.train.patches.clusters import (
    ClusterLayer,
    latent_cluster_layers,
    one_step_layers,
)
from hierjax.train.patches.config import NORMALIZERS, PAPER, TARGETS, PatchLayerConfig
from hierjax.train.patches.context import (
    ContextConfig,
    ContextLayer,
    ContextTable,
    context_layers,
)
from hierjax.train.patches.descent import DescentPatchLayer
from hierjax.train.patches.kernel import KernelPatchLayer
from hierjax.train.patches.layer import PatchLayer
from hierjax.train.patches.readout import as_rows, token_readout
from hierjax.train.patches.stack import (
    check_table,
    patch_layers,
    string_bounds,
    strings_of_layer,
)
from hierjax.train.patches.table import TableLayer
from hierjax.train.probed import Probed, ProbedFit
from hierjax.train.product_layer import FoundProducts, ProductLayer, product_supports
from hierjax.train.quadratic_learner import QuadraticConfig, QuadraticModels, quadratic_learner
from hierjax.train.representation import REPRESENTATIONS, Representation, RepresentationLayer
from hierjax.train.solvers import DESCENTS, SOLVERS, gradient_descent, ridge, ridge_descent
from hierjax.train.streamed import Source, Streamed
from hierjax.train.taylor_layer import TaylorLayer, TrainedTaylor
from hierjax.train.token_learners import (
    TokenStackConfig,
    TokenTraining,
    TransformerConfig,
    require_causal,
    token_learner,
)
from hierjax.train.unit_features import UnitFeatures, best_rate, draw_features
from hierjax.train.validation import num_fitted

__all__ = [
    "ACCEPT",
    "BLOCK_SOLVERS",
    "CROSS_ENTROPY",
    "DESCENTS",
    "LABEL_LOSSES",
    "MAX_KERNEL_TRAIN",
    "NORMALIZERS",
    "OPTIMIZERS",
    "PAPER",
    "RADIAL",
    "REPRESENTATIONS",
    "SCHEDULES",
    "SOLVERS",
    "SQUARED",
    "SQUARED_CLASSES",
    "TARGETS",
    "TOKEN_CROSS_ENTROPY",
    "AdamWConfig",
    "Best",
    "BestOf",
    "BlockConfig",
    "BlockLayer",
    "Candidate",
    "ChoosingLayer",
    "ClusterLayer",
    "ContextConfig",
    "ContextLayer",
    "ContextTable",
    "Descent",
    "DescentBlockLayer",
    "DescentPatchLayer",
    "DescentState",
    "FoundProducts",
    "Kernel",
    "KernelConfig",
    "KernelMachine",
    "KernelPatchLayer",
    "KernelRidge",
    "LabelBaselines",
    "Layer",
    "Loss",
    "Network",
    "NetworkConfig",
    "NetworkLayer",
    "Objective",
    "PatchLayer",
    "PatchLayerConfig",
    "Probed",
    "ProbedFit",
    "ProductLayer",
    "QuadraticConfig",
    "QuadraticModels",
    "Representation",
    "RepresentationLayer",
    "RoundsLayer",
    "ScoringLayer",
    "ShallowConfig",
    "Source",
    "StoppedTraining",
    "Streamed",
    "TableLayer",
    "TaylorLayer",
    "TokenStackConfig",
    "TokenTraining",
    "TrainedBlock",
    "TrainedNetwork",
    "TrainedTaylor",
    "TransformerConfig",
    "UnitFeatures",
    "as_rows",
    "averaged",
    "best_rate",
    "check_table",
    "class_scores",
    "clip_gradients",
    "context_layers",
    "draw_features",
    "end_to_end_label_learner",
    "end_to_end_learner",
    "forward",
    "gradient_descent",
    "gram_bytes",
    "joint_network",
    "k_means",
    "kernel_learner",
    "label_loss",
    "latent_cluster_layers",
    "layer_key",
    "linear_label_learner",
    "merge_variables",
    "network_layers",
    "num_fitted",
    "one_step_layers",
    "patch_layers",
    "product_supports",
    "quadratic_learner",
    "radial_kernels",
    "require_causal",
    "residual_layers",
    "ridge",
    "ridge_descent",
    "shallow_label_learner",
    "shallow_learner",
    "string_bounds",
    "strings_of_layer",
    "token_learner",
    "token_readout",
    "train_layerwise",
]
