"""Choices of the layers of the convolutional stack that is trained layer by layer."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from hierjax.models.patch_features import FEATURES
from hierjax.settings import Config, setting
from hierjax.train.patches.maps import NORMALIZERS
from hierjax.train.solvers import DESCENTS, SOLVERS

TARGETS = ("concat", "first", "pooled")
"""Positions that a layer is trained on, see `PatchLayerConfig`."""

PAPER: Mapping[str, Any] = {
    "targets": "first",
    "raw_targets": True,
    "leaves": "symbols",
    "features": "pairs",
    "num_features": 2048,
    "bandwidth_from": "smallest",
    "orthogonality": 0.1,
    "solver": "ridge_gd",
    "penalty": 1.0,
    "normalizer": "sum",
    "split_strings": True,
}
"""The choices of arXiv 2601.19756, with as many features as two cores allow."""

RIDGES = ("ridge", "ridge_gd")
"""Solvers by ridge regression."""


@dataclasses.dataclass(frozen=True)
class PatchLayerConfig(Config):
    """Choices that all layers of a stack of patch layers share; those of the paper are `PAPER`.

    Attributes:
      targets: positions that a patch layer is trained on: "concat" trains a map for every position
        and embeds a patch by all of them, "first" trains one map on the first position, "pooled"
        one map on all positions.
      raw_targets: fit indicators of the classes as they are, not less their means.
      leaves: what the first layer makes of leaves: a "table" with an entry for every tuple, or the
        features of the other layers on indicators of the "symbols".
      features: fixed nonlinear features of a patch, on which a patch layer is fitted: "fourier" are
        cosines with random phases, "pairs" cosines and sines of unit norm, "relu" units with
        biases, and "kernel" is the limit of infinitely many pairs.
      num_features: number of random features of a patch, D, or of pairs.
      bandwidth_from: distance of patches that fixes the bandwidth of the Gaussian kernel of the
        features: "rms", the root mean square distance, or "smallest", that of unlike symbols.
      bandwidth: bandwidth in units of the root mean square distance.
      orthogonality: wanted bound on the kernel of unlike patches, of which half is reached at the
        smallest distance.
      solver: how the linear map of a patch layer is fitted: by 300 steps of gradient descent on all
        examples ("gd"), by ridge regression, exactly ("ridge") or by the gradient descent of arXiv
        2601.19756 ("ridge_gd"), or by minibatches ("sgd", "adam").
      penalty: penalty of the ridge regression in units of 1 / (V M), the inverse number of tuples
        that the rules of a level have.
      normalizer: what is done to the outputs of a patch layer before the next layer sees them.
        "pca" keeps as many principal directions as symbols can span and divides by one rms,
        "whiten" scales each of these directions to the same variance, "rms" only centres and
        divides, "sum" divides estimates of P(class | patch) by their sum.
      split_strings: fit every layer on strings of its own, as many as the product of the numbers of
        rules down to its level asks for, not all layers on all strings.

    Raises:
      ValueError: an unknown name, a number out of bounds, or choices that exclude each other.
    """

    targets: str = setting("concat", choices=TARGETS)
    raw_targets: bool = setting(False)
    leaves: str = setting("table", choices=("table", "symbols"))
    features: str = setting("fourier", choices=(*FEATURES, "kernel"))
    num_features: int = setting(
        512, least=1, most=2**15, only=("features", ("fourier", "pairs", "relu"))
    )
    bandwidth_from: str = setting("rms", choices=("rms", "smallest"))
    bandwidth: float = setting(0.42, above=0, only=("bandwidth_from", ("rms",)))
    orthogonality: float = setting(0.1, above=0, below=2, only=("bandwidth_from", ("smallest",)))
    solver: str = setting("gd", choices=(*SOLVERS, *DESCENTS))
    penalty: float = setting(0.01, above=0, only=("solver", RIDGES))
    normalizer: str = setting("pca", choices=NORMALIZERS)
    split_strings: bool = setting(False)

    def __post_init__(self):
        super().__post_init__()
        if self.normalizer == "sum" and not self.raw_targets:
            raise ValueError(
                "normalizer=sum divides by the sum of a patch's estimates, which is 0 where the "
                "targets are centred: set raw_targets"
            )
        if self.features == "kernel" and (self.targets, self.solver) != ("first", "ridge"):
            raise ValueError(
                f"features=kernel cannot be fitted with targets={self.targets} and "
                f"solver={self.solver}: set targets to first and solver to ridge"
            )
