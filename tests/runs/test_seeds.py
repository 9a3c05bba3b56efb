import collections
import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import struct

import hierjax as hj
from hierjax.runs import memory, parallel
from hierjax.runs.parallel import seed_keys, seed_mesh
from hierjax.runs.seeds import Seeds
from hierjax.runs.seeds_trainer import SeedsTrainer
from hierjax.runs.stages import Stage, layer_stages

ONE = seed_mesh(1)


def make_data(key):
    return jax.random.normal(key, (5,))


def make_stage(index):
    def start(key, data, below):
        mean = data.mean() + sum(params["mean"] for params in below)
        return {"mean": mean, "index": jnp.int32(index)}

    return Stage(start)


STAGES = [make_stage(index) for index in range(3)]


class Walk(struct.PyTreeNode):
    """A fit in rounds, as many as the seed's data says."""

    position: jax.Array
    progress: jax.Array


def walk_stage():
    def start(key, data, below):
        num_rounds = 2 + jnp.argmax(data)
        return (data, num_rounds), Walk(jnp.zeros(()), jnp.zeros(()))

    def advance(key, context, walk):
        """Goes on after the end, too: who drives the walk has to keep where it ended."""
        step = context[0][0] + jax.random.normal(key) * walk.position
        progress = jnp.minimum(walk.progress + 1 / context[1] + 1e-3, 1)
        return Walk(walk.position + step, progress)

    def finish(context, walk):
        return {"position": walk.position, "rounds": context[1]}

    return Stage(start, advance, finish)


def fit_all(trainer, num_layers=3):
    """Parameters of all layers, and what was told of the work."""
    finished, calls = [], []
    for _ in range(num_layers):
        finished.append(trainer.fit_layer(finished, calls.append).params)
    return finished, calls


def measure(data, below, params):
    return {"sum": data.sum(), "twice": 2 * params["mean"], "below": jnp.int32(len(below))}


def trainer_of(num_seeds, stages=STAGES, mesh=ONE, impl="shard_map"):
    return SeedsTrainer(Seeds(seed_keys(0, num_seeds), make_data, mesh, impl), stages, measure)


def test_layers_stack_seeds_and_see_those_below():
    trainer = trainer_of(4)
    finished, calls = fit_all(trainer)
    assert sum(calls) == 3 * 4
    means = np.array([make_data(key).mean() for key in seed_keys(0, 4)])
    np.testing.assert_allclose(finished[0]["mean"], means, rtol=1e-6)
    np.testing.assert_allclose(finished[1]["mean"], 2 * means, rtol=1e-6)
    np.testing.assert_allclose(finished[2]["mean"], 4 * means, rtol=1e-6)
    assert finished[2]["index"].tolist() == [2] * 4


def test_measures_see_the_data_and_the_layers_below():
    trainer = trainer_of(4)
    finished, _ = fit_all(trainer, 2)
    measured = trainer.measure(finished[:1], finished[1])
    sums = np.array([make_data(key).sum() for key in seed_keys(0, 4)])
    np.testing.assert_allclose(measured["sum"], sums, rtol=1e-6)
    np.testing.assert_allclose(measured["twice"], 4 * sums / 5, rtol=1e-6)
    assert measured["below"].tolist() == [1] * 4


def test_layouts_are_those_of_the_fitted_layers():
    trainer = trainer_of(3)
    top = trainer.layout(2)
    for index, layer in enumerate(fit_all(trainer)[0]):
        chex.assert_trees_all_equal_shapes_and_dtypes(trainer.layout(index), layer)
    chex.assert_trees_all_equal_shapes_and_dtypes(trainer.layout(2), top)


def counting(traces, name, function):
    @functools.wraps(function)
    def counted(*args):
        traces[name] += 1
        return function(*args)

    return counted


def test_each_program_is_traced_once():
    traces = collections.Counter()
    stages = [
        stage._replace(start=counting(traces, index, stage.start))
        for index, stage in enumerate(STAGES)
    ]
    walk = Stage(*(counting(traces, name, getattr(walk_stage(), name)) for name in Stage._fields))
    data = counting(traces, "data", make_data)
    trainer = SeedsTrainer(Seeds(seed_keys(0, 3), data, ONE), [*stages, walk])
    assert not traces
    fit_all(trainer, 4)
    names = ["data", 0, 1, 2, "start", "advance", "finish"]
    assert traces == dict.fromkeys(names, 1)


@pytest.fixture(scope="module")
def one_by_one():
    return fit_all(trainer_of(7, [STAGES[0], walk_stage()]), 2)[0]


@pytest.mark.parametrize(("num_devices", "impl"), [(1, "shard_map"), (2, "shard_map"), (2, "pmap")])
def test_padding_is_dropped(monkeypatch, one_by_one, num_devices, impl):
    monkeypatch.setattr(parallel, "_MOST_LANES", {"cpu": 3})
    trainer = trainer_of(7, [STAGES[0], walk_stage()], seed_mesh(num_devices), impl)
    in_chunks, calls = fit_all(trainer, 2)
    assert sum(calls) == pytest.approx(2 * 7)
    chex.assert_trees_all_close(in_chunks, one_by_one, rtol=1e-6)


@pytest.fixture
def save_always(monkeypatch):
    monkeypatch.setattr("hierjax.runs.rounds._SECONDS_BETWEEN_SAVES", 0.0)
    monkeypatch.setattr("hierjax.runs.rounds._SHARE_OF_SAVES", float("inf"))


def test_a_save_that_takes_long_is_not_made_again_soon(monkeypatch):
    monkeypatch.setattr("hierjax.runs.rounds._SECONDS_BETWEEN_SAVES", 0.0)
    clock = iter(range(10**6))
    monkeypatch.setattr("hierjax.runs.rounds.time.perf_counter", lambda: next(clock))
    saves = []
    fit_walk(1, save=saves.append)
    # A save takes one tick, so that it is due again 100 ticks later, and a round takes one.
    assert len(saves) == 1


def fit_walk(num_devices, saved=None, save=lambda rounds: None):
    trainer = trainer_of(5, [walk_stage()], seed_mesh(num_devices))
    return trainer.fit_layer([], lambda count: None, saved, save)


def test_a_fit_goes_on_from_any_round_on_other_devices(save_always):
    """Saved on 2 devices, resumed on 1, 5 and 2: same numbers, for seeds begun and not begun."""
    saves = []
    whole = fit_walk(2, save=saves.append)
    layout = trainer_of(5, [walk_stage()]).rounds_layout(0)
    chex.assert_trees_all_equal_shapes_and_dtypes(layout, saves[0])
    assert saves[0]["started"].tolist() == [True, True, False, False, False]
    assert saves[-1]["started"].all()
    middle = saves[len(saves) // 2]
    for saved, num_devices in ((saves[0], 1), (saves[1], 5), (middle, 2), (saves[-1], 1)):
        resumed = fit_walk(num_devices, saved)
        chex.assert_trees_all_equal(resumed.params, whole.params)


def test_saved_rounds_are_not_taken_again(save_always):
    saves = []
    fit_walk(1, save=saves.append)
    again, calls = [], []
    trainer_of(5, [walk_stage()]).fit_layer([], calls.append, saves[3], again.append)
    assert len(again) == len(saves) - 4
    assert sum(calls) + saves[3]["state"].progress.sum() == pytest.approx(5)


def test_a_layer_that_is_not_finite_is_named():
    def broken(key, data, below):
        params = STAGES[1].start(key, data, below)
        return params | {"mean": jnp.where(data[0] > 0, jnp.nan, params["mean"])}

    keys = seed_keys(0, 4)
    bad = [seed for seed in range(4) if make_data(keys[seed])[0] > 0]
    assert 0 < len(bad) < 4
    stages = [STAGES[0], STAGES[1]._replace(start=broken), STAGES[2]]
    trainer = trainer_of(4, stages)
    first = trainer.fit_layer([]).params
    names = ", ".join(map(str, bad))
    with pytest.raises(FloatingPointError, match=f"layer 2 of 3 is not finite for seeds {names}:"):
        trainer.fit_layer([first])


def patch_trainer(mesh, impl):
    """A small random hierarchy, learned layer by layer."""
    spec = hj.RandomHierarchySpec(4, 4, 2, 2, 2)
    layers = hj.train.patch_layers(spec, hj.train.PatchLayerConfig(num_features=32))

    def draw(key):
        grammar = hj.draw_random_hierarchy(key, spec)
        return grammar.sample(jax.random.fold_in(key, 1), 200)

    def outputs(batch, below, params):
        hidden = hj.train.forward(layers, below, batch.inputs)
        return layers[len(below)].apply(params, hidden)

    stages = layer_stages(layers, lambda batch, index: batch)
    return SeedsTrainer(Seeds(seed_keys(0, 8), draw, mesh, impl), stages, outputs)


def all_outputs(trainer):
    finished, _ = fit_all(trainer, 2)
    return [trainer.measure(finished[:index], finished[index]) for index in range(2)]


@pytest.fixture(scope="module")
def on_one_device():
    return all_outputs(patch_trainer(ONE, "shard_map"))


@pytest.mark.parametrize("impl", parallel.IMPLS)
def test_layers_put_out_the_same_on_eight_devices(on_one_device, impl):
    on_eight = all_outputs(patch_trainer(seed_mesh(8), impl))
    chex.assert_trees_all_close(on_eight, on_one_device, atol=1e-5)


def test_what_does_not_fit_into_memory_is_refused_before_it_runs(monkeypatch):
    monkeypatch.setattr(memory, "free_memory", lambda: 10_000)
    small = Seeds(seed_keys(0, 2), lambda key: jnp.zeros(1000), seed_mesh(1))
    small.require_memory()
    large = Seeds(seed_keys(0, 2), lambda key: jnp.zeros(10_000), seed_mesh(1))
    with pytest.raises(ValueError, match=r"data of seeds, 1 at once, need .* GiB of memory, and"):
        large.require_memory()
    traced = small.map(lambda x: jnp.sort(jnp.tile(x, 100))).trace(
        jax.ShapeDtypeStruct((1, 1000), jnp.float32)
    )
    with pytest.raises(
        ValueError, match=r"seeds, 1 at once, need .* lower the sizes, or use fewer"
    ):
        small.compile(lambda: {"sort": traced})


def test_fewer_seeds_run_at_once_where_memory_is_short(monkeypatch, one_by_one):
    """Of seven at once on a device; what memory there is falls to that of a few."""
    monkeypatch.setattr(parallel, "_MOST_LANES", {"cpu": 7})
    trainer = trainer_of(7, [STAGES[0], walk_stage()], ONE)
    calls = []
    first = trainer.fit_layer([], calls.append)
    assert calls == [7]
    monkeypatch.setattr("hierjax.runs.seeds.free_memory", lambda: 150)
    monkeypatch.setattr(memory, "free_memory", lambda: 10_000)
    second = trainer.fit_layer([first.params], calls.append)
    assert sum(calls) == pytest.approx(14)
    chex.assert_trees_all_close([first.params, second.params], one_by_one, rtol=1e-6)


@pytest.mark.parametrize("impl", ["shard_map", "pmap"])
def test_data_that_a_program_takes_and_makes_nothing_of(impl):
    """XLA then chooses where it should be, and need not choose where it is."""

    def draw(key):
        return {"used": jax.random.normal(key, (3,)), "unused": jnp.ones(2)}

    def measure(data, below, params):
        both = jnp.stack([data["used"].sum(), jnp.sin(data["unused"]).sum()])
        return {"sum": both[0] + params}

    stage = Stage(lambda key, data, below: jnp.stack([data["used"][0], data["unused"][0] * 2])[0])
    seeds = Seeds(seed_keys(0, 4), draw, seed_mesh(4), impl)
    trainer = SeedsTrainer(seeds, [stage], measure)
    params = trainer.fit_layer([]).params
    expected = [np.asarray(jax.random.normal(key, (3,))) for key in seed_keys(0, 4)]
    np.testing.assert_allclose(params, [each[0] for each in expected], rtol=1e-6)
    sums = [each.sum() + each[0] for each in expected]
    np.testing.assert_allclose(trainer.measure([], params)["sum"], sums, rtol=1e-5)
