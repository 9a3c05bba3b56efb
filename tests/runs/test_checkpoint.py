import gc
import shutil

import chex
import jax
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


LAYERS = [layer(index) for index in range(3)]
LAYOUTS = [jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), each) for each in LAYERS]


@pytest.fixture
def folder(tmp_path):
    with LayerCheckpoints(tmp_path / "run") as checkpoints:
        for index in range(3):
            checkpoints.save(index, LAYERS[index])
    return tmp_path / "run"


def restore(folder, layouts=LAYOUTS):
    with LayerCheckpoints(folder) as checkpoints:
        return checkpoints.restore(len(layouts), layouts.__getitem__)


def test_layers_come_back(folder):
    restored = restore(folder)
    chex.assert_trees_all_equal(restored, LAYERS)
    chex.assert_trees_all_equal_shapes_and_dtypes(restored, LAYOUTS)


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
        checkpoints.save(2, LAYERS[2])
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
