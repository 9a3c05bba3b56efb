import json
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hierjax.runs.events import Events

SAID = [
    {"event": "chunk", "values": [0.25, None], "seeds": [0, 1]},
    {"event": "note", "text": "±"},
    {"event": "chunk", "values": [1e-9, 0.5], "seeds": [2, 3]},
]


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """Events of a run, to be read only."""
    path = tmp_path_factory.mktemp("events") / "events"
    for each in SAID:
        Events(path, "run").append(each)
    return path


def test_events_are_read_as_they_were_appended(path):
    assert list(Events(path, "run").read("chunk")) == [SAID[0], SAID[2]]
    assert list(Events(path, "run").read("other")) == []
    assert list(Events(path.parent / "none", "run").read("chunk")) == []


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_no_flipped_bit_is_believed(path, data):
    content = bytearray(path.read_bytes())
    bit = data.draw(st.integers(0, 8 * len(content) - 1))
    content[bit // 8] ^= 1 << bit % 8
    damaged = path.parent / "damaged"
    damaged.write_bytes(content)
    try:
        found = list(Events(damaged, "run").read("chunk"))
    except ValueError as error:
        found, refusal = None, str(error)
        pattern = rf"line \d of {re.escape(str(damaged))} is damaged"
    assert found == [SAID[0], SAID[2]] or re.match(pattern, refusal)


@pytest.mark.parametrize(
    "line",
    [
        *("[]", "5", "{}", "null", '"text"', "", "{", "[" * 100_000, "\0\0", "\udcff"),
        '{"event": "chunk", "values": [7, 7], "seeds": [0, 1]}',
        '{"event": "chunk", "digest": 5}',
    ],
)
def test_what_no_run_wrote_is_named_by_its_line(path, tmp_path, line):
    whole = path.read_bytes().splitlines(keepends=True)
    damaged = tmp_path / "events"
    damaged.write_bytes(whole[0] + line.encode(errors="surrogateescape") + b"\n" + whole[2])
    with pytest.raises(ValueError, match=r"^line 2 of .*events is damaged or of another run: rem"):
        list(Events(damaged, "run").read("chunk"))


def test_a_line_that_was_edited_or_is_of_another_run_is_refused(path, tmp_path):
    with pytest.raises(ValueError, match=r"line 1 of .* of another run"):
        list(Events(path, "other").read("chunk"))
    line = json.loads(path.read_text().splitlines()[0])
    edited = tmp_path / "events"
    for values in ([7, None], [0.25, 0.25], [None, None], ["a", None], [0.25], None):
        edited.write_text(json.dumps(line | {"values": values}) + "\n")
        with pytest.raises(ValueError, match="line 1 of"):
            list(Events(edited, "run").read("chunk"))


def test_what_a_check_refuses_is_named_by_its_line(path):
    def refuse(event):
        if event["seeds"] == [2, 3]:
            raise ValueError("is of seeds that nobody asked for")

    events = Events(path, "run").read("chunk", refuse)
    assert next(events) == SAID[0]
    with pytest.raises(ValueError, match=r"^line 3 of .* is of seeds that nobody asked for: rem"):
        next(events)


def test_a_full_disk_is_named():
    with pytest.raises(OSError, match=r"/dev/full cannot be written \(No space left on device\)"):
        Events(Path("/dev/full"), "run").append({})
