"""Models: Flax Linen modules, and what is made of a module's derivatives.

A module that is trained layer by layer has the methods `embed`, `layer` and `readout`.

  conv_stack.py       ConvStack: one patch convolution for each level of a tree; PatchConv, its
                      layer; merge_patches.
  token_stack.py      TokenStack: such a stack with scores of tokens; complete_before.
  tree_denoiser.py    TreeDenoiser: up the tree and down again, scores of all tokens.
  residual_stack.py   ResidualStack: blocks that correct estimates of all labels; ResidualBlock and
                      RandomUnits, its parts; beta_xavier and sparse_rows, initializers;
                      check_stack.
  residual_net.py     ResidualNet: a residual network of the usual kind.
  transformer.py      Transformer, causal or not, and TransformerBlock, its layer.
  token_decoder.py    TokenDecoder: scores of the next token, of the subtrees before it.
  deep_linear_net.py  DeepLinearNet: layers without activations.
  shallow_net.py      ShallowNet: one hidden layer on a string; one_hot_strings.
  two_layer_net.py    TwoLayerNet: one hidden layer whose first weights alone are trained.
  patch_features.py   Fixed features of patches: TupleCodes, RandomFeatures (its kinds are
                      FEATURES), KernelFeatures, SymbolFeatures.
  bandwidths.py       Bandwidths of kernels of patches: RmsBandwidth, SmallestBandwidth.
  taylor.py           Taylor expansions of a module in its parameters: linearize, quadratic,
                      empirical_ntk; Term, the type of what they return.
  activations.py      ACTIVATIONS by name; cosine, cosine_of_turns.
  products.py         contract: a product of inputs, or of patches of them, and a kernel, which
                      devices divide, in one of the PRECISIONS.
"""

from hierjax.models.activations import ACTIVATIONS, cosine, cosine_of_turns
from hierjax.models.bandwidths import RmsBandwidth, SmallestBandwidth
from hierjax.models.conv_stack import ConvStack, PatchConv, merge_patches
from hierjax.models.deep_linear_net import DeepLinearNet
from hierjax.models.patch_features import (
    FEATURES,
    KernelFeatures,
    RandomFeatures,
    SymbolFeatures,
    TupleCodes,
)
from hierjax.models.products import PRECISIONS, contract
from hierjax.models.residual_net import ResidualNet
from hierjax.models.residual_stack import (
    RandomUnits,
    ResidualBlock,
    ResidualStack,
    beta_xavier,
    check_stack,
    sparse_rows,
)
from hierjax.models.shallow_net import ShallowNet, one_hot_strings
from hierjax.models.taylor import Term, empirical_ntk, linearize, quadratic
from hierjax.models.token_decoder import TokenDecoder
from hierjax.models.token_stack import TokenStack, complete_before
from hierjax.models.transformer import Transformer, TransformerBlock
from hierjax.models.tree_denoiser import TreeDenoiser
from hierjax.models.two_layer_net import TwoLayerNet

__all__ = [
    "ACTIVATIONS",
    "FEATURES",
    "PRECISIONS",
    "ConvStack",
    "DeepLinearNet",
    "KernelFeatures",
    "PatchConv",
    "RandomFeatures",
    "RandomUnits",
    "ResidualBlock",
    "ResidualNet",
    "ResidualStack",
    "RmsBandwidth",
    "ShallowNet",
    "SmallestBandwidth",
    "SymbolFeatures",
    "Term",
    "TokenDecoder",
    "TokenStack",
    "Transformer",
    "TransformerBlock",
    "TreeDenoiser",
    "TupleCodes",
    "TwoLayerNet",
    "beta_xavier",
    "check_stack",
    "complete_before",
    "contract",
    "cosine",
    "cosine_of_turns",
    "empirical_ntk",
    "linearize",
    "merge_patches",
    "one_hot_strings",
    "quadratic",
    "sparse_rows",
]
