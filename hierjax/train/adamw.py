"""How networks are trained by AdamW, and where held-out examples say when to stop."""

import dataclasses

import optax

from hierjax.settings import Config, setting
from hierjax.train.descent import Descent
from hierjax.train.learners import clip_gradients

_MOST_STEPS = 10**8


@dataclasses.dataclass(frozen=True)
class AdamWConfig(Config):
    """How steps of AdamW are taken.

    Attributes:
      learning_rate: the largest learning rate.
      weight_decay: decay of the weights, in units of the learning rate.
      clip: norm above which gradients are clipped.
      batch_size: number of examples of a step.
      num_steps: largest number of steps.

    Raises:
      ValueError: a number out of bounds.
    """

    learning_rate: float = setting(3e-3, above=0)
    weight_decay: float = setting(0.1, least=0)
    clip: float = setting(1.0, above=0)
    batch_size: int = setting(128, least=1, most=2**20)
    num_steps: int = setting(2000, least=1, most=_MOST_STEPS)

    def optimizer(self, schedule: optax.Schedule) -> optax.GradientTransformation:
        """Makes the optimizer.

        Args:
          schedule: number of steps so far -> learning rate.
        """
        adam = optax.adamw(schedule, weight_decay=self.weight_decay)
        return optax.chain(clip_gradients(self.clip), adam)


@dataclasses.dataclass(frozen=True)
class StoppedTraining(AdamWConfig):
    """Training by AdamW with a cosine schedule, stopped early.

    The parameters that do best on held-out train examples, an eighth of them, are kept.

    Attributes:
      patience: number of steps without improvement on held-out examples after which training ends.

    Raises:
      ValueError: a number out of bounds.
    """

    patience: int = setting(500, least=1, most=_MOST_STEPS)

    def descent(self) -> Descent:
        """Makes the descent."""

        def optimizer(rate):
            return self.optimizer(optax.cosine_decay_schedule(rate, self.num_steps))

        sizes = (self.num_steps, self.batch_size)
        return Descent(optimizer, (self.learning_rate,), *sizes, patience=self.patience)
