import jax.numpy as jnp
import numpy as np

from hierjax.measure.label_report import label_report
from hierjax.tasks.batch import Batch

LABELS = jnp.array([[1.0, 1.0, -1.0], [1.0, -1.0, -1.0], [1.0, 1.0, 1.0], [-1.0, -1.0, -1.0]])


def batch_of(labels):
    return Batch(labels[..., :1], labels, (labels[..., :1], labels[..., :2], labels[..., 2:]))


def test_accuracies_by_hand():
    scores = jnp.array([[0.1, 2.0, -1.0], [3.0, 1.0, -1.0], [-1.0, 0.5, 0.1], [-0.2, 0.3, -2.0]])
    report = label_report(scores, batch_of(LABELS))
    np.testing.assert_allclose(report.accuracy, [(0.75 + 0.5) / 2, 1.0])
    np.testing.assert_allclose(report.accuracy_min_label, [0.5, 1.0])
    np.testing.assert_allclose(report.chance, [(0.75 + 0.5) / 2, 0.75])


def test_locations_count_as_examples():
    scores = jnp.arange(12.0).reshape(4, 3) - 6.5
    flat = label_report(scores, batch_of(LABELS))
    placed = label_report(scores.reshape(2, 2, 3), batch_of(LABELS.reshape(2, 2, 3)))
    np.testing.assert_allclose(placed.accuracy, flat.accuracy)
    np.testing.assert_allclose(placed.chance, flat.chance)
