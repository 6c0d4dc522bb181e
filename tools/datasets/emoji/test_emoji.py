# SPDX-License-Identifier: Apache-2.0
"""Tests of the emoji data set's grammar and composition; no network."""
import hashlib
import json
import pathlib
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import numpy as np

import build
import compose
import words


def disc(colour, hole=False):
    y, x = np.mgrid[:128, :128] - 63.5
    picture = np.zeros((128, 128, 4), np.uint8)
    picture[..., :3] = colour
    picture[..., 3] = ((x * x + y * y < 55 ** 2) & ~(hole & (x * x + y * y < 20 ** 2))) * 255
    return picture


PICTURES = np.stack([disc((226, 40, 48)), disc((50, 115, 222)), disc((0, 0, 0), True)])
ROWS = [dict(index=i, noun=noun, tags=["round"], group="objects", set=style, style=style, glyph=kind == "glyph", pixel=False, name=noun, source="p@1", licence=licence,
             attribution="someone", toned=False, colour=compose.main_colour(PICTURES[i]))
        for i, (noun, style, kind, licence) in enumerate([("ball", "noto", "emoji", "MIT"), ("plate", "noto", "emoji", "CC-BY-4.0"),
                                                          ("ring", "silhouette", "glyph", "CC-BY-3.0")])]


class Words(unittest.TestCase):
    def test_articles(self):
        for noun, expected in {"apple": "an apple", "cat": "a cat", "unicorn": "a unicorn", "rice": "rice", "scissors": "scissors",
                               "bowl of rice": "a bowl of rice", "hourglass": "an hourglass", "glasses": "glasses", "bus": "a bus",
                               "umbrella": "an umbrella", "octopus": "an octopus", "cactus": "a cactus"}.items():
            self.assertEqual(words.article(noun), expected)

    def test_plurals(self):
        for noun, expected in {"apple": "apples", "cherry": "cherries", "leaf": "leaves", "fox": "foxes", "fish": "fish", "key": "keys",
                               "beer mug": "beer mugs", "bowl of rice": "bowls of rice", "person with hat": "people with hat"}.items():
            self.assertEqual(words.plural(noun), expected)

    def test_nouns_of_labels(self):
        self.assertEqual(words.noun_of("woman: red hair"), "woman with red hair")
        self.assertEqual(words.noun_of("flag: Peru"), "flag of peru")
        self.assertEqual(words.noun_of("waving hand: dark skin tone"), "waving hand with dark skin")
        self.assertIsNone(words.noun_of("a label of many more words than six"))


class Compose(unittest.TestCase):
    def test_main_colours(self):
        self.assertEqual([row["colour"] for row in ROWS[:2]], ["red", "blue"])
        self.assertIsNone(compose.main_colour(disc((226, 40, 48)) * 0))

    def test_recolouring_moves_the_hue_alone(self):
        green = compose.recolour(PICTURES[0], "green")
        self.assertEqual(compose.main_colour(green), "green")
        self.assertTrue((green[..., 3] == PICTURES[0][..., 3]).all())
        self.assertIsNone(compose.recolour(disc((120, 120, 120)), "green"))

    def test_what_is_recoloured_is_seen_in_that_colour(self):
        for target in compose.NAMES:
            painted = compose.recolour(PICTURES[0], target)
            self.assertTrue(painted is None or compose.main_colour(painted) == target, target)
        for target in ("black", "green", "purple", "turquoise", "brown"):
            self.assertIsNotNone(compose.recolour(PICTURES[0], target), target)

    def test_pixel_art_is_made_of_squares(self):
        canvas = np.zeros((128, 128, 3), np.float32)
        compose.place(canvas, PICTURES[0], 101, 61, 66, pixel=True)
        squares = canvas.reshape(32, 4, 32, 4, 3)
        self.assertTrue((squares == squares[:, :1, :, :1]).all())
        self.assertGreater(len(np.unique(canvas[..., 0])), 1)

    def test_synonyms_take_the_place_of_names(self):
        row = dict(ROWS[0], noun="automobile")
        said = {compose.dressed(row, PICTURES, np.random.default_rng(i), False)[1].split()[-1] for i in range(40)}
        self.assertEqual(said, {"car", "automobile"})

    def test_captions_say_what_is_there(self):
        for i in range(400):
            rng = np.random.default_rng(i)
            row = ROWS[i % 3]
            image, caption, used = compose.example(row, PICTURES, lambda style: row, rng)
            self.assertEqual(image.shape, (128, 128, 3))
            self.assertTrue("ball" in caption or "plate" in caption or "ring" in caption, caption)
            corner = image[0, 0].astype(int)
            for name in words.GRAMMAR["colours"]:
                if f"{name} background" in caption or caption.endswith(f" on {name}"):
                    self.assertLess(abs(corner - compose.COLOURS[name]).max(), 45, caption)
                    self.assertNotIn(f"{name} {row['noun']}", caption)
            self.assertGreater(image.reshape(-1, 3).astype(int).std(0).max(), 5, f"nothing to see: {caption}")

    def test_same_seed_same_picture(self):
        make = lambda: compose.example(ROWS[0], PICTURES, lambda style: ROWS[1], np.random.default_rng(5))
        (a, x, _), (b, y, _) = make(), make()
        self.assertTrue((a == b).all() and x == y)


class Shards(unittest.TestCase):
    def test_same_bytes_twice(self):
        digests = []
        for _ in range(2):
            with tempfile.TemporaryDirectory() as name:
                folder = pathlib.Path(name)
                build.shard(0, 20, PICTURES, ROWS, np.full(3, 1 / 3), {}, folder)
                digests.append(hashlib.sha256((folder / "00000.tar").read_bytes()).hexdigest())
        self.assertEqual(*digests)

    def test_rows_carry_both_licences(self):
        row = json.loads(build.json_row("0000001", "a ball and a plate", ROWS[:2]))
        self.assertEqual(row["licence"], "CC-BY-4.0 AND MIT")
        self.assertEqual(row["name"], "ball, plate")

    def test_every_source_is_locked(self):
        lock = json.loads((build.HERE / "packages.json").read_text())
        wanted = {*build.SOURCES["names"], *(s["package"] for s in build.SOURCES["sets"].values())}
        self.assertEqual(set(lock), wanted)


if __name__ == "__main__":
    unittest.main()
