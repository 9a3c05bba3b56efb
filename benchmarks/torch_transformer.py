"""The transformer of the library, and its training, by a practised user of PyTorch."""

from collections.abc import Callable

import numpy as np

from hierjax.models import Transformer
from hierjax.train import TokenTraining

try:
    import torch
except ImportError:
    torch = None


def transformer(module: Transformer) -> "torch.nn.Module":
    """The same module, whose attention is PyTorch's own, on strings (N, T) of int64."""
    nn, functional = torch.nn, torch.nn.functional

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            width = module.width
            self.before_attention = nn.LayerNorm(width, eps=1e-6)
            self.before_units = nn.LayerNorm(width, eps=1e-6)
            self.attention_first, self.attention_second = (
                nn.Linear(width, 3 * width),
                nn.Linear(width, width),
            )
            self.first, self.second = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

        def forward(self, hidden):
            n, length, width = hidden.shape
            heads = self.attention_first(self.before_attention(hidden))
            parts = heads.view(n, length, 3, module.num_heads, -1).permute(2, 0, 3, 1, 4)
            mixed = functional.scaled_dot_product_attention(*parts, is_causal=module.causal)
            mixed = mixed.transpose(1, 2).reshape(n, length, width)
            hidden = hidden + self.attention_second(mixed)
            units = functional.gelu(self.first(self.before_units(hidden)), approximate="tanh")
            return hidden + self.second(units)

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.tokens = nn.Embedding(module.num_inputs, module.width)
            self.positions = nn.Parameter(torch.zeros(module.length, module.width))
            self.layers = nn.ModuleList(Block() for _ in range(module.num_blocks))
            self.norm = nn.LayerNorm(module.width, eps=1e-6)
            self.head = nn.Linear(module.width, module.num_outputs)

        def forward(self, strings):
            hidden = self.tokens(strings) + self.positions
            for layer in self.layers:
                hidden = layer(hidden)
            return self.head(self.norm(hidden))

    return Net()


def load(network: "torch.nn.Module", params: dict) -> None:
    """Copies parameters of a `Transformer` into what `transformer` made."""

    def put(target, values) -> None:
        target.copy_(torch.from_numpy(np.array(values)))

    def put_layer(layer, own: dict) -> None:
        if "scale" in own:
            put(layer.weight, own["scale"])
        else:
            put(layer.weight, own["kernel"].T)
        put(layer.bias, own["bias"])

    with torch.no_grad():
        put(network.tokens.weight, params["tokens"]["kernel"])
        put(network.positions, params["positions"])
        put_layer(network.norm, params["norm"])
        put_layer(network.head, params["head"])
        for index, block in enumerate(network.layers):
            for name, own in params[f"layers_{index}"].items():
                put_layer(getattr(block, name), own)


def trainer(
    network: "torch.nn.Module", training: TokenTraining, compiled: bool
) -> "Callable[[torch.Tensor, torch.Tensor], torch.Tensor]":
    """(inputs, targets) -> loss of a step of AdamW, all of whose tensors are updated at once."""
    rate, decay = training.learning_rate, training.weight_decay
    adamw = torch.optim.AdamW(network.parameters(), rate, weight_decay=decay, fused=True)
    scores_of = torch.compile(network) if compiled else network

    def step(inputs, targets):
        adamw.zero_grad(set_to_none=True)
        scores = scores_of(inputs)
        loss = torch.nn.functional.cross_entropy(
            scores.flatten(0, 1), targets.flatten(), reduction="sum"
        )
        loss = loss / len(inputs)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), training.clip, foreach=True)
        adamw.step()
        return loss.detach()

    return step
