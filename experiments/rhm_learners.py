"""The learners of a random hierarchy, all on the same grammars, train sets and test sets."""

import jax
import optax

from experiments.rhm_request import Request
from experiments.runs import Learner
from hierjax import (
    MAX_KERNEL_TRAIN,
    LearnerReport,
    RandomHierarchySpec,
    Seeds,
    SeedsTrainer,
    Split,
    Stage,
    data_mesh,
    draw_random_hierarchy,
    end_to_end_learner,
    error_rate,
    forward,
    kernel_learner,
    latin_square_top,
    layer_report,
    layer_stage,
    make_split,
    patch_layers,
    seed_keys,
    seed_mesh,
    shallow_learner,
    squared_loss,
)


def make_learners(
    request: Request, baselines: bool, impl: str, num_devices: int | None, data_parallel: bool
) -> tuple[list[Learner], dict[str, str]]:
    """The learners that are asked for, layerwise first, and why others are left out.

    Args:
      request: what is asked for.
      baselines: whether there are others.
      impl: as for `map_seeds`.
      num_devices: between which seeds are divided; None for all.
      data_parallel: whether the batches of the end-to-end learner are divided instead.

    Raises:
      ValueError: there are fewer devices, or they do not divide a batch.
    """
    keys = seed_keys(request.seed, request.num_seeds)
    learner_keys = jax.jit(jax.vmap(lambda key: jax.random.fold_in(key, 2)))(keys)
    spec, num_train = request.spec, request.num_train

    def draw(key):
        return draw_split(key, spec, num_train, request.num_test, request.top_rule)

    def place(mesh):
        return Seeds(keys, draw, mesh, impl)

    def learner(name, seeds, stages):
        return Learner(name, SeedsTrainer(seeds, stages, learner_keys), request.num_seeds)

    seeds = place(seed_mesh(num_devices))
    made, skipped = [learner("layerwise", seeds, layerwise_stages(request))], {}
    if not baselines:
        return made, skipped
    if num_train > MAX_KERNEL_TRAIN:
        skipped["kernel"] = f"n = {num_train} is more than {MAX_KERNEL_TRAIN}"
    else:
        # On a CPU one factorisation has all cores already, and several get in each other's way.
        placed = place(seed_mesh(1)) if jax.default_backend() == "cpu" else seeds
        made.append(learner("kernel", placed, [whole_stage(kernel_learner(spec), squared_loss)]))
    layers = shallow_learner(spec, num_train)
    made.append(learner("shallow", seeds, [whole_stage(layers, cross_entropy)]))
    mesh = data_mesh(num_devices) if data_parallel else None
    layers = end_to_end_learner(spec, num_train, request.network, mesh)
    placed = place(mesh) if data_parallel else seeds
    made.append(learner("end_to_end", placed, [whole_stage(layers, cross_entropy)]))
    return made, skipped


def draw_split(
    key: jax.Array,
    spec: RandomHierarchySpec,
    num_train: int,
    num_test: int,
    top_rule: str = "random",
) -> Split:
    """The train and test set of a seed, of a grammar of its own."""
    grammar = draw_random_hierarchy(jax.random.fold_in(key, 0), spec)
    if top_rule == "latin_square":
        grammar = latin_square_top(grammar)
    return make_split(grammar, jax.random.fold_in(key, 1), num_train, num_test)


def layerwise_stages(request: Request) -> list[Stage]:
    """One stage a layer, which reports what the layer knows; on top, on the learner too."""
    spec = request.spec
    layers = patch_layers(spec, request.config)

    def make_stage(index):
        layer, level = layers[index], spec.depth - 1 - index

        def report(split, below, params, hidden):
            test_hidden = forward(layers, below, split.test.inputs)
            votes, embeddings = layer.votes(params, test_hidden), layer.apply(params, test_hidden)
            measured = {
                "layer": layer_report(votes, embeddings, split.test, level, spec.symbols(level)),
                "num_unseen": split.num_unseen,
            }
            if level == 0:
                train_loss = squared_loss(layer.votes(params, hidden), split.train.labels)
                measured["learner"] = LearnerReport(measured["layer"].test_error, train_loss)
            return measured

        return layer_stage(layers, index, lambda split: split.train, report)

    return [make_stage(index) for index in range(spec.depth)]


def whole_stage(layers, train_loss) -> Stage:
    """The only stage of a learner that is not trained layer by layer."""

    def report(split, below, params, inputs):
        test_scores = layers[0].apply(params, split.test.inputs)
        train_scores = layers[0].apply(params, inputs)
        return {
            "learner": LearnerReport(
                error_rate(test_scores, split.test.labels),
                train_loss(train_scores, split.train.labels),
            )
        }

    return layer_stage(layers, 0, lambda split: split.train, report)


def cross_entropy(scores: jax.Array, labels: jax.Array) -> jax.Array:
    """Of (N, C) scores to the labels (N,), mean over examples."""
    return optax.softmax_cross_entropy_with_integer_labels(scores, labels).mean()
