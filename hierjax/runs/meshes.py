"""Requests whose networks may be trained by several devices together."""

import dataclasses

from jax.sharding import Mesh

from hierjax.runs.parallel import data_mesh
from hierjax.runs.requests import RunRequest
from hierjax.settings import setting
from hierjax.sharding import require_divided


@dataclasses.dataclass(frozen=True, kw_only=True)
class MeshRequest(RunRequest):
    """What is asked for where devices may share the batches of networks that are trained whole.

    Attributes:
      data_parallel: divide the batches of networks that are trained end to end, not the seeds,
        between devices.
      model_parallel: with data_parallel, number of devices that share the weights of each layer.

    Raises:
      ValueError: a value is not allowed, or not beside the others.
    """

    data_parallel: bool = setting(False, identity=False)
    model_parallel: int = setting(1, least=1, identity=False)

    def __post_init__(self):
        super().__post_init__()
        if self.model_parallel > 1 and not self.data_parallel:
            raise ValueError(
                f"--model_parallel={self.model_parallel} needs --data_parallel: add it"
            )

    @property
    def mesh(self) -> Mesh | None:
        """Devices that share the batches of networks trained end to end; None if they do not."""
        if not self.data_parallel:
            return None
        return data_mesh(self.num_devices, self.model_parallel)

    def require_shared(self, batch_size: int) -> None:
        """Refuses a batch, or a part of one, that the devices do not divide.

        Raises:
          ValueError: they do not; or there are fewer devices than are asked for.
        """
        if self.mesh:
            require_divided(batch_size, self.mesh)
