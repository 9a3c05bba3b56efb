"""The learners of a label hierarchy, all on the same tasks and test sets."""

import jax

from experiments.label_request import Request, SeedData, draw_data
from experiments.runs import Learner
from hierjax import (
    Batch,
    Seeds,
    SeedsTrainer,
    Stage,
    end_to_end_label_learner,
    forward,
    label_report,
    layer_stage,
    linear_label_learner,
    residual_layers,
    seed_keys,
    seed_mesh,
    shallow_label_learner,
)

_MAX_RIDGE_ROWS = 2**17


def make_learners(
    request: Request, baselines: bool, impl: str, num_devices: int | None
) -> list[Learner]:
    """The learners that are asked for, layerwise first.

    Args:
      request: what is asked for.
      baselines: whether there are others.
      impl: as for `map_seeds`.
      num_devices: between which seeds are divided; None for all.

    Raises:
      ValueError: there are fewer devices.
    """
    keys = seed_keys(request.seed, request.num_seeds)
    learner_keys = jax.vmap(lambda key: jax.random.fold_in(key, 3))(keys)
    seeds = Seeds(keys, lambda key: draw_data(key, request), seed_mesh(num_devices), impl)

    def learner(name, stages):
        return Learner(name, SeedsTrainer(seeds, stages, learner_keys), request.num_seeds)

    made = [learner("layerwise", layerwise_stages(request))]
    if baselines:
        made += [learner(name, [stage]) for name, stage in baseline_stages(request).items()]
    return made


def layerwise_stages(request: Request) -> list[Stage]:
    """One stage a block, which reports the accuracy of every level."""
    layers = residual_layers(request.stack.make(request.task), request.block)

    def make_stage(index):
        def batch(data: SeedData) -> Batch:
            chosen = index if request.fresh else 0
            return jax.tree.map(lambda leaf: leaf[chosen], data.train)

        def report(data, below, params, _):
            stream = forward(layers, (*below, params), data.test.inputs)
            return _report(stream, data) | {"accepted": params.accepted}

        return layer_stage(layers, index, batch, report)

    return [make_stage(index) for index in range(len(layers))]


def baseline_stages(request: Request) -> dict[str, Stage]:
    """The other learners; each has the examples of all blocks together.

    Those that are fitted by ridge regression have the first 131,072, locations counted.
    """
    task, num_blocks = request.task, request.stack.num_blocks
    num_train = request.num_train * request.num_sets
    wide = {"lattice": task.lattice, "radius": task.input_radius}
    size = (task.num_labels, num_blocks, num_train, task.lattice, task.radius)
    learners = {
        "linear": linear_label_learner(task.num_inputs, task.num_labels, **wide),
        "shallow": shallow_label_learner(task.num_labels, **wide),
        "end_to_end": end_to_end_label_learner(*size),
        "end_to_end_top": end_to_end_label_learner(*size, last=task.labels_per_level),
    }

    def make_stage(name, layers):
        ridge = name in ("linear", "shallow")
        most = _MAX_RIDGE_ROWS // (task.num_locations or 1) if ridge else None

        def batch(data: SeedData) -> Batch:
            return jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:])[:most], data.train)

        def report(data, below, params, _):
            return _report(layers[0].apply(params, data.test.inputs), data)

        return layer_stage(layers, 0, batch, report)

    return {name: make_stage(name, layers) for name, layers in learners.items()}


def _report(outputs: jax.Array, data: SeedData) -> dict:
    """Outputs end with the estimates of all labels."""
    scores = outputs[..., -data.test.labels.shape[-1] :]
    return {"labels": label_report(scores, data.test)}
