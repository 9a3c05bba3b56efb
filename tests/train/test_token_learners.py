import pytest

from hierjax.models import Transformer
from hierjax.train.token_learners import TokenTraining, TransformerConfig, require_causal


def test_looks_are_spaced_by_a_factor_from_the_start_to_the_last_step():
    training = TokenTraining(num_steps=1000, steps_per_round=10, num_looks=5)
    assert training.looks == (0, 1, 3, 10, 32, 100)
    assert training.steps_of_looks == (0, 10, 30, 100, 320, 1000)
    for num_looks, expected in ((1, (0, 7)), (50, (0, 1, 2, 3, 4, 5, 6, 7))):
        training = TokenTraining(num_steps=7, steps_per_round=1, num_looks=num_looks)
        assert training.steps_of_looks == expected


def test_a_model_that_sees_ahead_is_refused():
    config = TransformerConfig(width=8, num_blocks=2, num_heads=2)
    require_causal(config.module(4, 6, causal=True), 4, 6)
    with pytest.raises(ValueError, match="Transformer sees tokens after position 0 there"):
        require_causal(config.module(4, 6, causal=False), 4, 6)


def test_a_model_that_sees_ahead_at_the_end_alone_is_refused():
    class Late(Transformer):
        def readout(self, hidden):
            return super().readout(hidden + hidden[:, -1:])

    with pytest.raises(ValueError, match="Late sees tokens after position 0 there"):
        require_causal(Late(5, 4, 6, width=8, num_blocks=1, num_heads=2), 4, 6)
