# SPDX-License-Identifier: Apache-2.0
"""Reads a run's event files with TensorBoard's own reader (pip install tensorboard): check_events.py RUN"""
import json
import pathlib
import sys

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

run = pathlib.Path(sys.argv[1])
events = EventAccumulator(str(run), size_guidance={"scalars": 0, "images": 0})
events.Reload()
logged = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
for tag in events.Tags()["scalars"]:
    expected = [(row["samples"], row[tag]) for row in logged if tag in row]
    found = [(e.step, e.value) for e in events.Scalars(tag)]
    assert len(found) == len(expected), (tag, len(found), len(expected))
    for (a, x), (b, y) in zip(found, expected):
        assert a == b and abs(x - y) <= 1e-6 * max(1, abs(y)), (tag, a, x, b, y)
print(len(events.Tags()["scalars"]), "scalars and", len(events.Tags()["images"]), "image tags, as log.jsonl says")
