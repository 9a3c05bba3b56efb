import jax.numpy as jnp
import numpy as np
import pytest

from hierjax.train.losses import LABEL_LOSSES, SQUARED_CLASSES, label_loss

SCORES = jnp.array([[2.0, 0.5], [-0.5, -1.0]])
LABELS = jnp.array([[1.0, 1.0], [1.0, -1.0]])


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("square", [[0.5, 0.125], [1.125, 0.0]]),
        ("squared_hinge", [[0.0, 0.125], [1.125, 0.0]]),
        ("hinge", [[0.0, 0.5], [1.5, 0.0]]),
        ("logistic", np.log1p(np.exp([[-2.0, -0.5], [0.5, -1.0]]))),
    ],
)
def test_losses_by_hand(name, expected):
    np.testing.assert_allclose(LABEL_LOSSES[name](SCORES, LABELS), expected, rtol=1e-6)
    loss = label_loss(name)
    np.testing.assert_allclose(
        loss.per_example(SCORES, LABELS), np.mean(expected, axis=1), rtol=1e-6
    )
    np.testing.assert_array_equal(loss.mistakes(SCORES, LABELS), [0.0, 0.5])


def test_squared_distances_to_one_hot_classes_by_hand():
    classes = jnp.array([0, 1])
    losses = SQUARED_CLASSES.per_example(SCORES, classes)
    np.testing.assert_allclose(losses, [(1 + 0.25) / 2, (0.25 + 4) / 2])
    np.testing.assert_array_equal(SQUARED_CLASSES.mistakes(SCORES, classes), [0, 1])


def test_the_last_labels_alone():
    loss = label_loss("hinge", last=1)
    np.testing.assert_allclose(loss.per_example(SCORES, LABELS), [0.5, 0.0])
    np.testing.assert_array_equal(loss.mistakes(SCORES, LABELS), [0.0, 0.0])


def test_locations_count_alike():
    loss = label_loss("hinge").per_example(SCORES[None], LABELS[None])
    np.testing.assert_allclose(loss, [0.5])
