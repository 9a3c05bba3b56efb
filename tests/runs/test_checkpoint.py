import gc
import shutil

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hierjax.runs.checkpoint import LayerCheckpoints

pytestmark = pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning", "ignore:coroutine .* was never awaited"
)


@pytest.fixture(autouse=True)
def collect_garbage():
    """Orbax leaves the readers of a damaged step to the garbage collector, which complains."""
    yield
    gc.collect()


def layer(index):
    return {
        "w": np.full((3, 2), index, np.float32),
        "deep": (np.arange(index + 1, dtype=np.int32), {}),
    }


FACTS = {"seconds": 1.5}
LAYERS = [layer(index) for index in range(3)]
LAYOUTS = [jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), each) for each in LAYERS]


@pytest.fixture
def folder(tmp_path):
    with LayerCheckpoints(tmp_path / "run") as checkpoints:
        for index in range(3):
            checkpoints.save(index, LAYERS[index], FACTS)
    return tmp_path / "run"


def restore(folder, layouts=LAYOUTS):
    with LayerCheckpoints(folder) as checkpoints:
        return checkpoints.restore(len(layouts), layouts.__getitem__)


def test_layers_come_back(folder):
    restored = restore(folder)
    chex.assert_trees_all_equal(restored, LAYERS)
    chex.assert_trees_all_equal_shapes_and_dtypes(restored, LAYOUTS)


def test_layers_in_bfloat16_come_back(tmp_path):
    layers = [{"w": jnp.arange(3, dtype=jnp.bfloat16)}]
    with LayerCheckpoints(tmp_path) as checkpoints:
        checkpoints.save(0, layers[0])
    restored = restore(tmp_path, [jax.eval_shape(lambda x: x, layers[0])])
    chex.assert_trees_all_equal(restored, layers)
    chex.assert_trees_all_equal_dtypes(restored, layers)


def test_nothing_saved_nothing_restored(tmp_path):
    assert restore(tmp_path / "new") == []


def test_an_unfinished_run_gives_its_first_layers(folder):
    shutil.rmtree(folder / "layers" / "2")
    chex.assert_trees_all_equal(restore(folder), LAYERS[:2])


def test_a_save_cut_short_leaves_no_step(folder):
    torn = folder / "layers" / "2.orbax-checkpoint-tmp"
    shutil.move(folder / "layers" / "2", torn)
    (torn / "commit_success.txt").unlink(missing_ok=True)
    assert len(restore(folder)) == 2
    with LayerCheckpoints(folder) as checkpoints:
        checkpoints.save(2, LAYERS[2], FACTS)
    chex.assert_trees_all_equal(restore(folder), LAYERS)


def truncate(file):
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


@pytest.mark.parametrize("which", ["manifest.ocdbt", "_METADATA", "d/*"])
def test_a_damaged_step_is_named(folder, which):
    for file in (folder / "layers" / "1" / "layer").glob(which):
        truncate(file)
    with pytest.raises(ValueError, match=r"step 1 of .* is damaged or of another run") as refusal:
        restore(folder)
    assert "\n" not in str(refusal.value)


def test_no_flipped_bit_is_read_as_other_numbers(folder, tmp_path):
    """Of the arrays, of what tells their places and types, and of the facts beside them."""
    rng, refused, whole = np.random.default_rng(0), 0, 0
    files = sorted(path for path in (folder / "layers" / "1").rglob("*") if path.is_file())
    for trial in range(24):
        copy = shutil.copytree(folder, tmp_path / f"copy{trial}")
        file = copy / files[trial % len(files)].relative_to(folder)
        content = bytearray(file.read_bytes())
        content[rng.integers(len(content))] ^= 1 << rng.integers(8)
        file.write_bytes(content)
        try:
            with LayerCheckpoints(copy) as checkpoints:
                restored = checkpoints.restore(3, LAYOUTS.__getitem__)
                facts = checkpoints.metadata(1)
        except ValueError as error:
            refused += "is damaged or of another run" in str(error)
        else:
            chex.assert_trees_all_equal(restored, LAYERS)
            chex.assert_trees_all_equal_shapes_and_dtypes(restored, LAYOUTS)
            assert facts == {"seconds": 1.5}
            whole += 1
    assert refused == 24 - whole > 8


@pytest.mark.parametrize(("run", "first"), [("other", 0), ("", 1)])
def test_a_step_of_another_run_is_refused_although_it_fits(folder, tmp_path, run, first):
    """Of another request, or of the same one above another first layer."""
    with LayerCheckpoints(tmp_path / "other", run) as checkpoints:
        for index in range(2):
            checkpoints.save(index, jax.tree.map(lambda x: x + 1, LAYERS[index]), FACTS)
    shutil.rmtree(folder / "layers" / str(first))
    shutil.copytree(tmp_path / "other" / "layers" / str(first), folder / "layers" / str(first))
    with pytest.raises(ValueError, match=rf"step {first} of .* is damaged or of another run"):
        restore(folder)


def test_a_step_of_other_dtype_is_refused(folder):
    foreign = [{**LAYOUTS[0], "w": jax.ShapeDtypeStruct((3, 2), np.float16)}, *LAYOUTS[1:]]
    with pytest.raises(ValueError, match="step 0"):
        restore(folder, foreign)


def test_rounds_of_another_run_are_refused(tmp_path):
    with LayerCheckpoints(tmp_path, "one") as checkpoints:
        checkpoints.save_rounds(0, LAYERS[0])
    with (
        LayerCheckpoints(tmp_path, "two") as checkpoints,
        pytest.raises(ValueError, match=r"step 0 of .*rounds_0 is damaged or of another run"),
    ):
        checkpoints.restore_rounds(0, lambda: LAYOUTS[0])


def test_steps_of_another_stack_are_refused(folder):
    with pytest.raises(ValueError, match=r"\[0, 1, 2\], which are not the first layers of a stack"):
        restore(folder, LAYOUTS[:2])
    shutil.rmtree(folder / "layers" / "0")
    with pytest.raises(ValueError, match=r"holds steps \[1, 2\]"):
        restore(folder)


@pytest.mark.parametrize("shape", [(4, 2), (3,), (3, 2, 1)])
def test_a_step_of_other_shape_is_refused(folder, shape):
    foreign = [{**LAYOUTS[0], "w": jax.ShapeDtypeStruct(shape, np.float32)}, *LAYOUTS[1:]]
    with pytest.raises(ValueError, match="step 0"):
        restore(folder, foreign)


def test_the_latest_rounds_of_a_layer_come_back(tmp_path):
    with LayerCheckpoints(tmp_path) as checkpoints:
        assert checkpoints.restore_rounds(2, lambda: LAYOUTS[2]) is None
        for value in range(4):
            checkpoints.save_rounds(2, jax.tree.map(lambda x, v=value: x + v, LAYERS[2]))
    with LayerCheckpoints(tmp_path) as checkpoints:
        expected = jax.tree.map(lambda x: x + 3, LAYERS[2])
        chex.assert_trees_all_equal(checkpoints.restore_rounds(2, lambda: LAYOUTS[2]), expected)
        checkpoints.save_rounds(2, LAYERS[2])
    with LayerCheckpoints(tmp_path) as checkpoints:
        chex.assert_trees_all_equal(checkpoints.restore_rounds(2, lambda: LAYOUTS[2]), LAYERS[2])
    (left,) = (tmp_path / "rounds_2").iterdir()
    assert left.name == "4"


def test_damaged_rounds_are_named(tmp_path):
    with LayerCheckpoints(tmp_path) as checkpoints:
        checkpoints.save_rounds(0, LAYERS[0])
    truncate(tmp_path / "rounds_0" / "0" / "layer" / "manifest.ocdbt")
    with (
        LayerCheckpoints(tmp_path) as checkpoints,
        pytest.raises(ValueError, match=r"step 0 of .*rounds_0 is damaged or of another run"),
    ):
        checkpoints.restore_rounds(0, lambda: LAYOUTS[0])


def test_rounds_go_when_their_layer_is_finished(folder):
    with LayerCheckpoints(folder) as checkpoints:
        checkpoints.save_rounds(0, LAYERS[0])
        checkpoints.save_rounds(3, LAYERS[0])
    assert {path.name for path in folder.iterdir()} == {"layers", "rounds_3"}
