# SPDX-License-Identifier: Apache-2.0
"""The fixed list of prompts: prompts.py MANIFEST writes prompts.json. None of them was seen in training as a composition: no
caption of MANIFEST (manifest.jsonl of the training set) has all its words."""
import json
import pathlib
import re
import sys

import numpy as np

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "datasets" / "emoji"))
from words import GRAMMAR, article, choose, countable, plural

# Everyday words, each understood by somebody who has never seen the data set.
SUBJECTS = [
    "fox", "cat", "dog", "horse", "elephant", "penguin", "frog", "fish", "butterfly", "bee", "owl", "duck", "snail", "turtle",
    "whale", "crab", "rabbit", "pig", "cow", "bear", "lion", "mouse", "unicorn", "dinosaur", "spider", "octopus", "bird",
    "panda", "monkey", "snake",
    "apple", "banana", "pizza", "strawberry", "cake", "burger", "donut", "carrot", "lemon", "watermelon", "cookie", "mushroom",
    "avocado", "cherries", "ice cream cone",
    "tree", "cactus", "rose", "sunflower", "tulip", "palm tree",
    "umbrella", "guitar", "key", "book", "balloon", "gift", "crown", "hammer", "camera", "phone", "lightbulb", "clock", "bell",
    "envelope", "lock", "teddy bear", "chair",
    "car", "bicycle", "rocket", "airplane", "bus", "train", "sailboat", "helicopter", "tractor",
    "house", "castle", "church", "tent",
    "sun", "rainbow", "snowman", "moon", "cloud", "snowflake", "star",
    "soccer ball", "basketball", "trophy", "kite", "skateboard",
    "laughing face", "sad face", "cool face", "skull", "robot", "ghost", "alien", "clown",
    "astronaut", "chef", "firefighter", "doctor", "farmer", "wizard", "mermaid", "superhero", "baby", "pilot",
]
RECOLOURED = ("fox cat dog horse elephant frog fish butterfly owl duck snail turtle whale crab rabbit pig bear unicorn dinosaur octopus apple "
              "strawberry carrot mushroom rose tulip umbrella guitar key book balloon crown hammer chair car bus sailboat house star heart").split()
COLOURS = ["red", "orange", "yellow", "green", "turquoise", "blue", "purple", "pink"]
BACKGROUNDS = [*COLOURS, "black", "gray", "beige", "brown"]
STYLES = {"noto": "noto style", "fluent": "fluent style", "flat": "flat style", "3d": "3d style", "twemoji": "twemoji style",
          "cartoon": "clip art", "silhouette": "silhouette", "pixel": "pixel art"}
PHRASES = ["a picture of my {noun}", "drawing of my old {colour} {noun}", "the cute {noun}", "a nice {colour} {noun} please", "draw {article}",
           "I would like {article}", "my favourite {noun}", "an illustration of {article}, {style}", "{article}, simple icon"]
EVERYDAY = "puppy kitten bunny bike plane truck boat painter nurse cop scooter jeep beer coffee painting diamond shirt sneaker ufo flame".split()
FILLERS = set("a an the of in on with and my please i would like draw drawing picture image illustration icon background style art".split())


def content(text):
    return frozenset(re.findall(r"[a-z0-9'-]+", text.lower())) - FILLERS


def candidate(kind, rng):
    """A prompt of a kind with what it asks for, or None where the dice make no sense."""
    colour, background, style = choose(COLOURS, rng), choose(BACKGROUNDS, rng), choose(list(STYLES), rng)
    painted, noun, other = choose(RECOLOURED, rng), choose(SUBJECTS, rng), choose(SUBJECTS, rng)
    on, how = f"on {article(background)} background", STYLES[style]
    wanted = dict(subjects=[noun], background=background, style=style)
    if kind == "phrasing":
        word, phrase = choose(EVERYDAY if rng.random() < 0.5 else RECOLOURED, rng), choose(PHRASES, rng)
        if "{colour}" in phrase and word not in RECOLOURED:
            return None
        said = {key: value for key, value in dict(colour=colour, style=style).items() if "{" + key + "}" in phrase}
        return phrase.format(noun=word, colour=colour, article=article(word), style=how), dict(subjects=[word], **said)
    if kind == "colour":
        return colour != background and (f"{article(colour + ' ' + painted)} {on}, {how}", dict(wanted, subjects=[painted], colour=colour))
    if style == "silhouette":  # has one colour, which must be said
        return None
    if kind == "background":
        return f"{article(noun)} {on}, {how}", wanted
    if kind == "size":
        size = choose(["small", "large"], rng)
        return f"a {size} {noun} {on}, {how}", dict(wanted, size=size)
    if kind == "count":
        n = 2 + int(rng.integers(2))
        return countable(painted) and (f"{GRAMMAR['numbers'][str(n)]} {colour} {plural(painted)}, {how}",
                                       dict(subjects=[painted], colour=colour, count=n, style=style))
    relation = choose(["beside", "above", "left"], rng)
    text = {"beside": "{a} next to {b}", "above": "{a} above {b}", "left": "{a} on the left and {b} on the right"}[relation]
    return noun != other and (text.format(a=article(noun), b=article(other)) + f", {how}",
                              dict(subjects=[noun, other], relation=relation, style=style))


WANTED = {"colour": 80, "background": 40, "count": 40, "pair": 30, "size": 20, "phrasing": 30}


def main():
    captions = [content(json.loads(line)["caption"]) for line in pathlib.Path(sys.argv[1]).open()]
    by_word = {}
    for i, words in enumerate(captions):
        for word in words:
            by_word.setdefault(word, set()).add(i)
    seen = lambda words: bool(words) and bool(set.intersection(*(by_word.get(word, set()) for word in words)))
    rng, rows = np.random.default_rng(20261128), {}
    for kind, wanted in WANTED.items():
        while sum(row["kind"] == kind for row in rows.values()) < wanted:
            made = candidate(kind, rng)
            # Everyday phrasing is about the words: its subjects have been seen.
            if made and made[0] not in rows and (kind == "phrasing" or not seen(content(made[0]))):
                rows[made[0]] = dict(kind=kind, prompt=made[0], **made[1])
    (HERE / "prompts.json").write_text("[\n" + ",\n".join(json.dumps(row) for row in rows.values()) + "\n]\n")
    print(f"{len(rows)} prompts")


if __name__ == "__main__":
    main()
