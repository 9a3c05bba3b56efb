"""Trackers of runs: what they are told of events."""

import struct

import pytest
from tensorboardX.proto.event_pb2 import Event

from hierjax.runs import require_trackers, trackers


def scalars(folder):
    """(name, step, number) of all numbers in the event files of TensorBoard in a folder."""
    found = []
    for path in folder.glob("tensorboard/events*"):
        content, place = path.read_bytes(), 0
        while place < len(content):
            (size,) = struct.unpack_from("<Q", content, place)
            event = Event.FromString(content[place + 12 : place + 12 + size])
            found += [
                (each.tag, event.step, each.simple_value)
                for each in event.summary.value
                if each.WhichOneof("value") == "simple_value"
            ]
            place += 16 + size
    return found


def test_tensorboard_shows_the_numbers_of_events_by_subject_and_step(tmp_path):
    told = trackers.Trackers(["tensorboard"], tmp_path, {"experiment": "some"})
    error = {"mean": 0.25, "per_seed": [0.0, 0.5]}
    told.tell("layer", {"learner": "kernel", "layer": 3, "test_error": error})
    for values in ([1.0, None, 2.0], [4.0]):
        told.tell("chunk", {"point": "a", "seeds": [0, 1], "values": {"error": values}})
    told.close()
    assert scalars(tmp_path) == [
        ("layer/kernel/test_error/mean", 3, 0.25),
        ("chunk/a/values/error", 1, 1.5),
        ("chunk/a/values/error", 2, 4.0),
    ]


def test_a_tracker_that_fails_is_dropped_with_a_word(tmp_path, monkeypatch, capsys):
    told = trackers.Trackers(["tensorboard"], tmp_path, {"experiment": "some"})

    def fail(*_):
        raise OSError("no space")

    monkeypatch.setattr(trackers._TensorBoard, "write", fail)
    for _ in range(2):
        told.tell("layer", {"layer": 1, "error": 0.5})
    assert capsys.readouterr().out == (
        "tensorboard has failed and shows no more of this run: no space\n"
    )


def test_a_tracker_that_is_not_installed_is_refused(monkeypatch):
    monkeypatch.setitem(trackers._PACKAGES, "wandb", "no_such_package")
    with pytest.raises(ValueError, match="log_to=wandb needs the package no_such_package"):
        require_trackers(["tensorboard", "wandb"])
