# SPDX-License-Identifier: Apache-2.0
"""Labelled pictures of the source sets, for the classifier: each subject alone, in the sets that the model was trained on and in two that
it never saw (blob, emojitwo), in sizes, places, colours and on backgrounds of their own."""
import pathlib
import sys

import numpy as np

EMOJI = pathlib.Path(__file__).resolve().parent.parent / "datasets" / "emoji"
sys.path.insert(0, str(EMOJI))
import build
import compose
from words import GRAMMAR, choose

HELD_OUT = ("blob", "emojitwo")
STYLES = ["noto", "twemoji", "fluent", "flat", "3d", "cartoon", "silhouette", "pixel"]


def load(cache):
    """Pictures [N, 128, 128, 4], rows, and the names of subjects: all of the model's."""
    trained = build.SOURCES["presets"]["base"]
    preset = dict(trained, sets={**trained["sets"], **{name: 1 for name in HELD_OUT}})
    pictures, rows = build.pictures_of(preset, pathlib.Path(cache))
    nouns = sorted({row["noun"] for row in rows if row["set"] not in HELD_OUT})
    return pictures, [row for row in rows if row["noun"] in set(nouns)], nouns


def accepted(word, nouns):
    """Subjects that a word of a prompt may mean."""
    return {n for n in nouns if n == word or word in GRAMMAR["aliases"].get(n, ()) or n.endswith(" " + word)}


def scene(row, pictures, rng):
    """[128, 128, 3] uint8: one drawing."""
    rgba, _, colour = compose.dressed(row, pictures, rng, False)
    canvas = compose.paint(compose.background_for({colour}, rng), rng)
    side = rng.integers(56, 129)
    room = max(0, (compose.SIDE - side) / 2)
    cx, cy = compose.SIDE / 2 + rng.uniform(-room, room, 2)
    compose.place(canvas, rgba, side, cx, cy, rng.random() < 0.3, row["pixel"])
    return canvas.clip(0, 255).round().astype(np.uint8)
