"""What a run on a random hierarchy is asked for."""

import dataclasses

from hierjax import NetworkConfig, PatchLayerConfig, RandomHierarchySpec, predicted_num_train


@dataclasses.dataclass(frozen=True)
class Request:
    """What is asked for; fixes the result up to rounding.

    Attributes:
      spec: of the grammars.
      config: of the layerwise learner.
      network: of the end-to-end learner.
      top_rule: "random" or "latin_square".
      num_train: n.
      num_test: unseen test strings.
      num_seeds: each draws its own grammar, data and weights.
      seed: of everything random.
    """

    spec: RandomHierarchySpec
    config: PatchLayerConfig
    network: NetworkConfig
    top_rule: str
    num_train: int
    num_test: int
    num_seeds: int
    seed: int

    @property
    def train_multiple(self) -> float:
        """Train strings as a multiple of the predicted number."""
        return self.num_train / predicted_num_train(self.spec)
