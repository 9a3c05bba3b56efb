"""The same work by a practised user of PyTorch, on the CPU."""

import math
from collections.abc import Callable, Sequence

import jax
import numpy as np

from hierjax.models.conv_stack import ConvStack
from hierjax.tasks.random_hierarchy import RandomHierarchy

try:
    import torch
except ImportError:
    torch = None

MOMENTUM = 0.9
_NUMBERS_AT_ONCE = 2**19


def here() -> bool:
    """Whether PyTorch is installed, and the CPU is what is measured."""
    return torch is not None and jax.default_backend() == "cpu"


def plain_sampler(
    grammar: RandomHierarchy, num_strings: int, probabilities: Sequence[np.ndarray] | None
) -> Callable[[], np.ndarray]:
    """As published code has it: 64-bit draws, tables indexed by symbol and rule.

    Args:
      grammar: what is drawn from.
      num_strings: of a call.
      probabilities: for each level (M,), those of every symbol's rules; None for uniform.
    """
    spec = grammar.spec
    tables = [torch.from_numpy(np.array(rules, np.int64)) for rules in grammar.rules]
    weights = probabilities and [torch.from_numpy(p) for p in probabilities]

    def sample() -> np.ndarray:
        symbols = torch.randint(spec.num_classes, (num_strings, 1))
        for level, table in enumerate(tables):
            if weights is None:
                drawn = torch.randint(spec.num_rules[level], symbols.shape)
            else:
                drawn = torch.multinomial(weights[level], symbols.numel(), replacement=True)
            symbols = table[symbols, drawn.reshape(symbols.shape)].reshape(num_strings, -1)
        return symbols.numpy()

    return sample


def sampler(
    grammar: RandomHierarchy, num_strings: int, probabilities: Sequence[np.ndarray] | None
) -> Callable[[], np.ndarray]:
    """With small types, pairs of children as one number, and bytes for draws of powers of two.

    Args:
      grammar: what is drawn from, of branching 2 and at most 256 symbols.
      num_strings: of a call.
      probabilities: for each level (M,), those of every symbol's rules; None for uniform.
    """
    spec = grammar.spec
    tables = [torch.from_numpy(pairs_of_children(rules).view(np.int16)) for rules in grammar.rules]
    cumulative = probabilities and [torch.from_numpy(p.cumsum()[:-1]) for p in probabilities]
    generator = torch.Generator().manual_seed(0)

    def draw(num_options: int, shape: tuple) -> torch.Tensor:
        if 256 % num_options:
            return torch.randint(num_options, shape, dtype=torch.uint8, generator=generator)
        count, limits = math.prod(shape), torch.iinfo(torch.int64)
        words = torch.randint(limits.min, limits.max, (-(-count // 8),), generator=generator)
        return words.view(torch.uint8)[:count].reshape(shape) & (num_options - 1)

    def draw_rules(level: int, shape: tuple) -> torch.Tensor:
        if cumulative is None:
            return draw(spec.num_rules[level], shape)
        uniforms = torch.rand(shape, generator=generator)
        return torch.bucketize(uniforms, cumulative[level], out_int32=True, right=True)

    def sample() -> np.ndarray:
        symbols = draw(spec.num_classes, (num_strings, 1))
        for level, table in enumerate(tables):
            rows = symbols.int() * spec.num_rules[level] + draw_rules(level, symbols.shape)
            pairs = table.index_select(0, rows.ravel())
            symbols = pairs.view(torch.uint8).reshape(num_strings, -1)
        return symbols.numpy()

    return sample


def pairs_of_children(rules: jax.Array) -> np.ndarray:
    """(V * M,) uint16 of rules (V, M, 2), each pair of bytes as one number."""
    return np.array(rules, np.uint8).reshape(-1, 2).view(np.uint16).ravel()


def plain_inside(grammar: RandomHierarchy, logs: np.ndarray) -> Callable[[], np.ndarray]:
    """As published code has it: float64 log messages, level by level, a position at a time.

    Args:
      grammar: with uniform rules and classes, of branching 2.
      logs: (N, d, V) logarithms of the weights of the leaves of N strings.

    Returns:
      A call that gives the posteriors (N, C) of the classes.
    """
    tables = [torch.from_numpy(np.array(rules, np.int64)) for rules in grammar.rules]
    leaves = torch.from_numpy(np.array(logs, np.float64))

    def call() -> np.ndarray:
        message = leaves
        for rules in reversed(tables):
            parents = []
            for node in range(0, message.shape[1], 2):
                left = message[:, node][:, rules[..., 0]]
                right = message[:, node + 1][:, rules[..., 1]]
                parents.append(torch.logsumexp(left + right, dim=-1) - math.log(rules.shape[1]))
            message = torch.stack(parents, dim=1)
        return torch.softmax(message[:, 0], dim=-1).numpy()

    return call


def inside(grammar: RandomHierarchy, logs: np.ndarray) -> Callable[[], np.ndarray]:
    """In float32, without logarithms, by outer products of the children and matrix products.

    All positions at once, strings side by side in memory, and as many of them as a cache has room
    for; messages are scaled at every second level.

    Args:
      grammar: with uniform rules and classes, of branching 2.
      logs: (N, d, V) logarithms of the weights of the leaves of N strings, a power of two.

    Returns:
      A call that gives the posteriors (N, C) of the classes.
    """
    spec = grammar.spec
    leaves = torch.from_numpy(np.exp(np.array(logs, np.float32)))
    largest = max(spec.symbols(level + 1) ** 2 * spec.nodes(level) for level in range(spec.depth))
    block = min(max(_NUMBERS_AT_ONCE // largest, 1), len(leaves))
    block = 1 << (block.bit_length() - 1)
    levels = []
    for level in reversed(range(spec.depth)):
        rules, below = np.array(grammar.rules[level], np.int64), spec.symbols(level + 1)
        matrix = np.zeros((len(rules), below**2), np.float32)
        matrix[np.arange(len(rules))[:, None], below * rules[..., 0] + rules[..., 1]] = 1
        space = torch.empty(below, below, spec.nodes(level), block)
        levels.append((level, torch.from_numpy(matrix / rules.shape[1]), space))

    @torch.inference_mode()
    def call() -> np.ndarray:
        classes = []
        for rows in leaves.split(block):
            message, total = rows.permute(2, 1, 0).contiguous(), torch.zeros(block)
            for level, matrix, space in levels:
                torch.mul(message[:, None, 0::2], message[None, :, 1::2], out=space)
                product = matrix @ space.view(matrix.shape[1], -1)
                message = product.view(len(matrix), -1, block)
                if level % 2 == 0:
                    largest = message.amax(dim=0)
                    message /= largest
                    total += largest.log().sum(dim=0)  # Of which the likelihood is made.
            classes.append((message[:, 0] / message[:, 0].sum(dim=0)).T)
        return torch.cat(classes).numpy()

    return call


def conv_stack(module: ConvStack) -> "torch.nn.Module":
    """The stack, patch convolutions as matrix products; about a tenth faster than `Conv1d`."""

    class Stack(torch.nn.Module):
        def __init__(self):
            super().__init__()
            widths = [module.vocab_size] + [module.width] * len(module.branching)
            self.layers = torch.nn.ModuleList(
                torch.nn.Linear(size * below, above)
                for size, below, above in zip(module.branching, widths, widths[1:], strict=False)
            )
            self.head = torch.nn.Linear(module.width, module.num_classes)

        def forward(self, tokens):
            hidden = torch.nn.functional.one_hot(tokens, module.vocab_size).float()
            for layer in self.layers:
                hidden = torch.relu(layer(hidden.reshape(len(hidden), -1, layer.in_features)))
            return self.head(hidden[:, 0] / module.width**0.5)

    return Stack()


def load(network: "torch.nn.Module", params: dict) -> None:
    """Copies parameters of a `ConvStack` into what `conv_stack` made."""
    names = [f"layers_{index}" for index in range(len(network.layers))] + ["head"]
    for name, layer in zip(names, [*network.layers, network.head], strict=True):
        kernel = np.array(params[name]["kernel"]).reshape(layer.in_features, layer.out_features)
        with torch.no_grad():
            layer.weight.copy_(torch.from_numpy(kernel.T))
            layer.bias.copy_(torch.from_numpy(np.array(params[name]["bias"])))


def trainer(
    network: "torch.nn.Module", rate: float
) -> "Callable[[torch.Tensor, torch.Tensor], torch.Tensor]":
    """(tokens, labels) -> loss of a step of stochastic gradient descent with momentum."""
    optimizer = torch.optim.SGD(network.parameters(), rate, momentum=MOMENTUM, foreach=True)

    def step(tokens, labels):
        optimizer.zero_grad(set_to_none=True)
        loss = torch.nn.functional.cross_entropy(network(tokens), labels)
        loss.backward()
        optimizer.step()
        return loss.detach()

    return step


def tensors(inputs, labels) -> "tuple[torch.Tensor, torch.Tensor]":
    """Examples as PyTorch wants them."""
    return torch.from_numpy(np.array(inputs, np.int64)), torch.from_numpy(
        np.array(labels, np.int64)
    )


def from_tensors(step, data, num_steps: int, batch_size: int) -> float:
    """Takes steps on random rows of whole tensors; the last loss."""
    for rows in torch.randint(len(data[0]), (num_steps, batch_size)):
        loss = step(data[0][rows], data[1][rows])
    return loss.item()


def from_loader(step, data, num_steps: int, batch_size: int) -> float:
    """Takes steps on what a DataLoader serves; the last loss."""
    dataset = torch.utils.data.TensorDataset(*data)
    sampler = torch.utils.data.RandomSampler(
        dataset, replacement=True, num_samples=num_steps * batch_size
    )
    for batch in torch.utils.data.DataLoader(dataset, batch_size, sampler=sampler):
        loss = step(*batch)
    return loss.item()


def error(network: "torch.nn.Module", data) -> float:
    """Share of wrong labels."""
    with torch.no_grad():
        return (network(data[0]).argmax(dim=1) != data[1]).float().mean().item()
