"""Layers that find the symbols of a tree without labels, from what stands beside a patch.

What its sibling holds depends on a patch through the symbol of their parent, and so through its own
symbol, alone. A map of its features to the contents of its siblings, fitted by least squares,
therefore takes synonyms to one place and other symbols to others, as a map to the class does (arXiv
2601.19756), but needs no labels and sees many patches of each string. Latent clustering (arXiv
2605.27734) is its kin: it needs about V M^3 / (1 - M / V^(S-1)) strings at any depth.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Integer, Key, Shaped

from hierjax.checks import in_range, one_hot, one_or_nan, require_examples, require_shape
from hierjax.models.bandwidths import RmsBandwidth
from hierjax.models.patch_features import RandomFeatures, TupleCodes
from hierjax.settings import Config, setting
from hierjax.tasks.random_hierarchy import RandomHierarchySpec
from hierjax.train.patches.maps import PatchMaps, normalized, side_by_side
from hierjax.train.patches.stack import check_table
from hierjax.train.patches.table import TableMaps
from hierjax.train.solvers import solve_ridge

PyTree = Any

SPANS = ("siblings", "all")
"""Patches that are predicted, see `ContextConfig`."""

CONTEXT_TARGETS = ("embeddings", "tokens")
"""What is predicted of them, see `ContextConfig`."""

_ROWS_AT_ONCE = 8192


@dataclasses.dataclass(frozen=True)
class ContextConfig(Config):
    """Choices that all layers of a stack of context layers share.

    Attributes:
      span: which patches a context layer predicts: the "siblings" of a patch, by a map for each
        side, or "all" others, by a map for each position.
      targets: what a context layer predicts of them: what it sees of them itself, which are the
        "embeddings" by the layer below, or their "tokens".
      num_features: number of random Fourier features of a patch, D.
      bandwidth: bandwidth of the features in units of the root mean square distance of patches.
      penalty: penalty of the ridge regression in units of the mean eigenvalue of the features.

    Raises:
      ValueError: an unknown name, or a number out of bounds.
    """

    span: str = setting("siblings", choices=SPANS)
    targets: str = setting("embeddings", choices=CONTEXT_TARGETS)
    num_features: int = setting(1024, least=1, most=2**15)
    bandwidth: float = setting(0.42, above=0)
    penalty: float = setting(3.0, above=0)


@dataclasses.dataclass(frozen=True)
class ContextLayer(PatchMaps):
    """One layer: features of a patch, its context linear in them, an embedding of that.

    Attributes:
      features: fixed features of a patch, `RandomFeatures`.
      config: choices that all layers of the stack share.
      num_sides: number of patches that are the context of each other, B.
      num_tokens: number of symbols of strings, V.
      embedding_dim: number of numbers in an embedding, E.
    """

    config: ContextConfig
    num_sides: int
    num_tokens: int
    embedding_dim: int

    def fit(
        self, key: Key[Array, ""], inputs: Shaped[Array, "N PS *E"], labels: Shaped[Array, "N ..."]
    ) -> dict:
        """Trains the layer.

        Args:
          key: typed PRNG key of the random features.
          inputs: (N, P*S) tokens, or (N, P*S, E) embeddings by the layer below.
          labels: (N, d) strings, whose tokens may be what is predicted; nothing is learned from
            them otherwise.

        Returns:
          The parameters by name: "features", the variables of the module of the features; "readout"
          (B, D, K), a map for each side; "center" (B*K,) and "projection" (B*K, E), which turn
          what they score into embeddings.

        Raises:
          ValueError: inputs or labels are of another shape or type, there are not as many labels as
            inputs, or symbols are known and out of range; where they are not known the parameters
            are then NaN.
        """
        self._require(inputs)
        require_examples(inputs, labels)
        with jax.default_matmul_precision("highest"):
            variables = self.features.init(key, inputs)
            patches = self._patches(inputs)
            patches = patches.reshape(-1, self.num_sides, *patches.shape[1:])
            values = self._values(inputs, labels)
            places = context_places(values.shape[1], patches.shape[0], self.num_sides)

            def one_side(now):
                own, places = now
                targets = jnp.moveaxis(values[:, places], 0, 1)
                targets = targets.reshape(-1, targets.shape[2] * targets.shape[3])
                targets -= targets.mean(axis=0, keepdims=True)
                return self._solve(variables, own.reshape(-1, *own.shape[2:]), targets)

            sides = jnp.moveaxis(patches, 1, 0), jnp.moveaxis(jnp.asarray(places), 1, 0)
            readout = jax.lax.map(one_side, sides)
            scores, shares = self._scores(variables, side_by_side(readout), inputs)
            found = normalized(scores, shares, self.embedding_dim)
        return {"features": variables, "readout": readout} | found

    def _require(self, inputs: Shaped[Array, "N PS *E"]) -> None:
        self._require_patches(inputs)
        family = self.features.branching * self.num_sides
        if inputs.shape[1] % family:
            raise ValueError(
                f"inputs of length {inputs.shape[1]} must be cut into {self.num_sides} patches of "
                f"{self.features.branching} that are siblings: give strings of the length of the "
                "tree"
            )

    def _values(
        self, inputs: Shaped[Array, "N PS *E"], labels: Shaped[Array, "N ..."]
    ) -> Float[Array, "N T K"]:
        """Returns what can be predicted, from left to right."""
        if self.config.targets == "embeddings":
            return inputs
        remedy = "give the strings whose tokens are predicted"
        require_shape("labels", labels, (None, None), remedy)
        num_patches = inputs.shape[1] // self.features.branching
        if not labels.shape[1] or labels.shape[1] % num_patches:
            raise ValueError(
                f"labels of length {labels.shape[1]} must be cut into {num_patches} spans: {remedy}"
            )
        return one_hot(labels, self.num_tokens, "labels", "symbols")

    def _solve(
        self,
        variables: PyTree,
        patches: Shaped[Array, "R S *E"],
        targets: Float[Array, "R K"],
    ) -> Float[Array, "D K"]:
        """Fits a map by ridge regression, of features that are made in blocks."""
        count = patches.shape[0]
        num_blocks = -(-count // _ROWS_AT_ONCE)
        padding = -count % num_blocks

        def blocks(rows):
            rows = jnp.pad(rows, [(0, padding)] + [(0, 0)] * (rows.ndim - 1))
            return rows.reshape(num_blocks, -1, *rows.shape[1:])

        def add(sums, block):
            patches, targets, shares = block
            features = self._features(variables, patches)
            weighted = features * shares[:, None]
            return (sums[0] + weighted.T @ features, sums[1] + weighted.T @ targets), None

        size = self.features.num_features
        start = jnp.zeros((size, size)), jnp.zeros((size, targets.shape[1]))
        rows = blocks(patches), blocks(targets), blocks(jnp.full(count, 1 / count))
        (gram, moments), _ = jax.lax.scan(add, start, rows)
        return solve_ridge(gram, moments, self.config.penalty / size)

    def apply(self, params: dict, inputs: Shaped[Array, "N PS *E"]) -> Float[Array, "N P E"]:
        """Returns embeddings (N, P, E) of the patches of inputs.

        Args:
          params: the parameters that `fit` returned.
          inputs: (N, P*S) tokens, or (N, P*S, E) embeddings by the layer below.

        Raises:
          ValueError: the inputs are of another shape or type, or symbols are known and out of
            range; where they are not known the outputs of their strings are then NaN.
        """
        self._require_patches(inputs)
        with jax.default_matmul_precision("highest"):
            kernel = side_by_side(params["readout"]) @ params["projection"]
            offset = params["center"] @ params["projection"]
            return self._map_patches(params["features"], kernel, inputs) - offset[None, None]


class ContextTable(TableMaps, ContextLayer):
    """The context layer of the leaves: the mean context of every tuple, whatever the config.

    Attributes:
      features: the codes of the tuples of leaves, `TupleCodes`.
      config: choices that all layers of the stack share.
      num_sides: number of patches that are the context of each other, B.
      num_tokens: number of symbols of strings, V.
      embedding_dim: number of numbers in an embedding, E.
    """

    def apply(self, params: dict, inputs: Integer[Array, "N PS"]) -> Float[Array, "N P E"]:
        """Returns embeddings of the tuples; see `ContextLayer.apply`."""
        return self._trusted(super().apply(params, inputs), inputs)

    def _values(
        self, inputs: Integer[Array, "N PS"], labels: Shaped[Array, "N ..."]
    ) -> Float[Array, "N T V"]:
        return one_hot(inputs, self.num_tokens, "inputs", "symbols")

    def _solve(
        self, variables: PyTree, patches: Integer[Array, "R S"], targets: Float[Array, "R K"]
    ) -> Float[Array, "codes K"]:
        codes = self._features(variables, patches)
        totals = jnp.bincount(codes, length=self.features.num_features)
        sums = jax.ops.segment_sum(targets, codes, self.features.num_features)
        valid = one_or_nan(in_range(patches, self.features.vocab_size).all())
        return sums / jnp.maximum(totals, 1)[:, None] * valid


def context_places(length: int, num_families: int, num_sides: int) -> Int[np.ndarray, "F B T"]:
    """Returns the positions of a string that are the context of each of its patches.

    Args:
      length: number of positions.
      num_families: number of families of patches that are the context of each other, F.
      num_sides: number of patches of a family, B.

    Returns:
      (F, B, T) positions of the family's other patches, left to right.
    """
    positions = np.arange(length).reshape(num_families, num_sides, -1)
    others = [np.delete(positions, side, axis=1) for side in range(num_sides)]
    return np.stack([each.reshape(num_families, -1) for each in others], axis=1)


def context_layers(
    spec: RandomHierarchySpec, config: ContextConfig | None = None, equiprobable: bool = True
) -> tuple[ContextLayer, ...]:
    """Makes the stack of context layers that is matched to a random hierarchy.

    Each layer merges the children of a node, and is to reveal the symbol of the node. Nothing
    stands beside the root, so what it is remains to be told by labels.

    Args:
      spec: sizes of the random hierarchy, of depth L.
      config: choices that all layers share; by default `ContextConfig()`.
      equiprobable: whether all strings have the same probability. Siblings then tell nothing of
        each other where every tuple has a rule; where strings differ, they do.

    Returns:
      L - 1 layers, leaves up, of levels L - 1 to 1.

    Raises:
      ValueError: the tree has no level between root and leaves, siblings of a level tell nothing of
        each other, or a table of all leaf tuples would be too large.
    """
    config = ContextConfig() if config is None else config
    if spec.depth == 1:
        raise ValueError("depth=1 leaves no level between root and leaves to find: raise depth")
    layers = []
    for level in reversed(range(1, spec.depth)):
        require_signal(spec, level, equiprobable)
        layers.append(_context_layer(spec, config, level))
    return tuple(layers)


def require_signal(spec: RandomHierarchySpec, level: int, equiprobable: bool = True) -> None:
    """Refuses levels whose siblings are independent, or that have none.

    Args:
      spec: sizes of the random hierarchy, of depth L.
      level: the level, from 1 to L - 1.
      equiprobable: whether all strings have the same probability.

    Raises:
      ValueError: siblings of the level tell nothing of each other.
    """
    size, num_symbols = spec.branching[level - 1], spec.symbols(level)
    num_tuples = spec.symbols(level - 1) * spec.num_rules[level - 1]
    if size == 1:
        raise ValueError(
            f"nodes of level {level} have no siblings to be told by: raise branching to 2"
        )
    if equiprobable and num_tuples == num_symbols**size:
        raise ValueError(
            f"all {num_tuples} tuples of level {level} have a rule, so siblings tell nothing of "
            "each other: lower num_rules, raise vocab_size or make rules unequal"
        )


def _context_layer(spec: RandomHierarchySpec, config: ContextConfig, level: int) -> ContextLayer:
    """Makes the layer that is to reveal the symbols of a level."""
    num_tokens, branching = spec.symbols(spec.depth), spec.branching[level]
    num_sides = spec.branching[level - 1] if config.span == "siblings" else spec.nodes(level)
    embedding_dim = max(spec.symbols(level) - 1, 1)
    if level < spec.depth - 1:
        features = RandomFeatures(
            config.num_features, branching, bandwidth=RmsBandwidth(config.bandwidth)
        )
        return ContextLayer(features, config, num_sides, num_tokens, embedding_dim)
    codes = TupleCodes(num_tokens, branching)
    check_table(codes, num_sides * (num_sides - 1) * branching * num_tokens)
    return ContextTable(codes, config, num_sides, num_tokens, embedding_dim)
