"""Activations of the layers of a model, with the trees of their strings, as arrays by name."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Array, Float

from hierjax.tasks import Batch


def activation_arrays(
    features: Mapping[str, Float[Array | np.ndarray, "N ..."]], batch: Batch
) -> dict[str, np.ndarray]:
    """Names what layers make of strings, and the trees of these strings, to be written to a file.

    `numpy.savez(path, **arrays)` writes them to an .npz file, `RunFolder.write_arrays` to that of a
    run, and `safetensors.numpy.save_file(arrays, path)` to a file that any framework can map.

    Args:
      features: (N, ...) features of layers by name, such as those of
        `hierjax.train.Network.hidden` as "layer_1" and so on.
      batch: the N strings, with all of their latents.

    Returns:
      By name: "inputs" (N, d), "labels" (N,), "level_0" to "level_L", the symbols (N, P) of each
      level from the root on, and the features.

    Raises:
      ValueError: a layer has features of another number of strings.
    """
    num_strings = batch.inputs.shape[0]
    for name, each in features.items():
        if each.shape[0] != num_strings:
            raise ValueError(
                f"{name} has features of {each.shape[0]} strings, but there are {num_strings}: "
                "give those of the same strings"
            )
    levels = {f"level_{level}": symbols for level, symbols in enumerate(batch.latents)}
    arrays = {"inputs": batch.inputs, "labels": batch.labels, **levels, **features}
    return {name: np.asarray(each) for name, each in arrays.items()}
