# SPDX-License-Identifier: Apache-2.0
"""One training example: pictures composed on a background, and a caption that says what is there."""
import re

import numpy as np
from PIL import Image

from words import GRAMMAR, article, choose, countable, plural, sentence

SIDE = 128
COLOURS = {name: np.array(rgb, np.float32) for name, rgb in GRAMMAR["colours"].items()}
NAMES, HUES, SHARES = list(COLOURS), GRAMMAR["hues"], GRAMMAR["shares"]


def to_lab(rgb):
    """sRGB 0–255 to CIELAB (D65)."""
    x = np.asarray(rgb, np.float32) / 255
    x = np.where(x > 0.04045, ((x + 0.055) / 1.055) ** 2.4, x / 12.92)
    matrix = np.array([[0.4124, 0.2126, 0.0193], [0.3576, 0.7152, 0.1192], [0.1805, 0.0722, 0.9505]], np.float32)
    xyz = x @ matrix / np.array([0.9505, 1, 1.089], np.float32)
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.stack([116 * f[..., 1] - 16, 500 * (f[..., 0] - f[..., 1]), 200 * (f[..., 1] - f[..., 2])], -1)


PALETTE = to_lab(np.array([COLOURS[name] for name in NAMES]))


def main_colour(rgba):
    """Name of the colour nearest to over 42 % of the opaque pixels, or None. White needs to be nearly without chroma."""
    pixels = rgba[::2, ::2].reshape(-1, 4)
    pixels = pixels[pixels[:, 3] > 128][:, :3]
    if len(pixels) < 20:
        return None
    lab = to_lab(pixels)
    nearest = ((lab[:, None] - PALETTE[None]) ** 2).sum(-1).argmin(1)
    share = np.bincount(nearest, minlength=len(NAMES)) / len(pixels)
    best = int(share.argmax())
    if share[best] <= 0.42:
        return None
    if NAMES[best] == "white" and np.hypot(lab[nearest == best, 1], lab[nearest == best, 2]).mean() > 6:
        return None
    return NAMES[best]


def recolour(rgba, target):
    """The picture's one dominant hue turned to the target's; None when it has no dominant hue."""
    hsv = np.array(Image.fromarray(rgba[..., :3]).convert("HSV"))
    mask = (hsv[..., 1] > 60) & (rgba[..., 3] > 60)
    if mask.sum() < 300:
        return None
    histogram = np.bincount(hsv[..., 0][mask] // 8, minlength=32)
    peak = int(histogram.argmax())
    if histogram[[peak - 1, peak, (peak + 1) % 32]].sum() < 0.6 * histogram.sum():
        return None
    turned = (hsv[..., 0].astype(int) + HUES[target] - peak * 8 - 4) % 256
    hsv[..., 0] = np.where(mask, turned, hsv[..., 0]).astype(np.uint8)
    out = rgba.copy()
    out[..., :3] = np.array(Image.fromarray(hsv, "HSV").convert("RGB"))
    return out


def tinted(rgba, colour):
    """A glyph's shape in one colour."""
    out = rgba.copy()
    out[..., :3] = COLOURS[colour].astype(np.uint8)
    return out


def place(canvas, rgba, side, cx, cy, flip=False):
    side = int(side)
    scaled = np.asarray(Image.fromarray(rgba).resize((side, side), Image.LANCZOS)).astype(np.float32)
    scaled = scaled[:, ::-1] if flip else scaled
    n, y, x = len(canvas), int(cy - side / 2), int(cx - side / 2)
    y0, x0, y1, x1 = max(y, 0), max(x, 0), min(y + side, n), min(x + side, n)
    if y1 > y0 and x1 > x0:
        part = scaled[y0 - y:y1 - y, x0 - x:x1 - x]
        alpha = part[..., 3:] / 255
        canvas[y0:y1, x0:x1] = part[..., :3] * alpha + canvas[y0:y1, x0:x1] * (1 - alpha)


def without_colour(noun):
    return re.sub(r"\b(" + "|".join(NAMES) + r") ", "", noun)


def background_for(colours, rng):
    """A background that none of the pictures' main colours vanishes in."""
    name = "white" if rng.random() < SHARES["white_background"] else choose(NAMES, rng)
    if name in colours:
        name = next(n for n in ("white", "blue", "yellow", "green") if n not in colours)
    return name


def paint(background, rng):
    colour = COLOURS[background]
    if background != "white":
        colour = np.clip(colour + rng.normal(0, 8, 3), 0, 255)
    canvas = np.empty((SIDE, SIDE, 3), np.float32)
    canvas[:] = colour
    return canvas


def example(row, pictures, other, rng, plain=False):
    """
    @param row       of the pictures' table: index, noun, tags, style, group, colour, kind
    @param pictures  [N, 128, 128, 4] uint8
    @param other     gives another row of the same style
    @param plain     subjects alone: no pairs, no recolouring, no keywords
    @return          [128, 128, 3] uint8, caption, rows used
    """
    rgba, noun, colour = pictures[row["index"]], row["noun"], row["colour"]
    style = choose(GRAMMAR["styles"][row["style"]], rng) if rng.random() < SHARES["style"] else None
    if row["kind"] == "glyph":  # its colour is ours to choose, and always said
        colour = choose(NAMES, rng)
        rgba, noun = tinted(rgba, colour), colour + " " + noun
        style = style or choose(GRAMMAR["styles"][row["style"]], rng)
    kind = 1.0 if plain else rng.random()
    used, bare = [row], False
    if kind < SHARES["several"] and countable(noun):
        background = background_for({colour}, rng)
        canvas, n = paint(background, rng), 2 if rng.random() < 0.7 else 3
        for j in range(n):
            place(canvas, rgba, (62 if n == 2 else 44) * rng.uniform(0.9, 1.05), SIDE * (j + 0.5) / n, 64 + rng.normal(0, 3))
        noun, bare = GRAMMAR["numbers"][str(n)] + " " + plural(noun), True
    elif kind < SHARES["several"] + SHARES["pair"]:
        second = other(row["style"])
        second_rgba, second_noun, second_colour = pictures[second["index"]], second["noun"], second["colour"]
        if second["kind"] == "glyph":
            second_rgba, second_noun, second_colour = tinted(second_rgba, colour), colour + " " + second_noun, colour
        used.append(second)
        background = background_for({colour, second_colour}, rng)
        canvas = paint(background, rng)
        beside = rng.random() < 0.7
        place(canvas, rgba, 62, *((33, 64) if beside else (64, 32)))
        place(canvas, second_rgba, 62, *((95, 64) if beside else (64, 96)))
        noun, bare = choose(GRAMMAR["pairs"]["beside" if beside else "above"], rng).format(
            a=article(noun), b=article(second_noun), bare_a=noun, bare_b=second_noun), True
    else:
        target = choose(list(HUES), rng)
        turned = None
        if not plain and row["kind"] != "glyph" and rng.random() < SHARES["recoloured"]:
            turned = recolour(rgba, target)
        if turned is not None:
            rgba, colour, noun = turned, target, target + " " + without_colour(noun)
        elif row["kind"] != "glyph" and colour and colour not in noun and rng.random() < SHARES["colour"]:
            noun = colour + " " + without_colour(noun)
        background = background_for({colour}, rng)
        canvas = paint(background, rng)
        small = rng.random() < SHARES["small"]
        side = rng.integers(46, 66) if small else rng.integers(104, 128)
        cx, cy = 64 + (rng.uniform(-16, 16, 2) if small else np.zeros(2))
        flip = rng.random() < SHARES["flipped"] and row["group"] not in GRAMMAR["no_flip"]
        place(canvas, rgba, side, cx, cy, flip)
        if small:
            noun = "small " + noun
        if not plain and row["tags"] and rng.random() < SHARES["keyword"]:
            noun += ", " + choose(row["tags"], rng)
    return canvas.clip(0, 255).round().astype(np.uint8), sentence(noun, style, background, rng, bare), used
