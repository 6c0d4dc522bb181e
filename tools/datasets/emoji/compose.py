# SPDX-License-Identifier: Apache-2.0
"""One training example: pictures composed on a background, and a caption that says what is there."""
import re

import numpy as np
from PIL import Image

from words import GRAMMAR, article, choose, countable, plural, sentence

SIDE = 128
COLOURS = {name: np.array(rgb, np.float32) for name, rgb in GRAMMAR["colours"].items()}
NAMES, SHARES = list(COLOURS), GRAMMAR["shares"]
PIXEL, STEP = 4, 24  # of pixel art: side of a square, distance between levels of a channel


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
    """The picture's one dominant hue painted in the target's colour; None when it has no dominant hue, or when the result is not
    seen as that colour."""
    hsv = np.array(Image.fromarray(rgba[..., :3]).convert("HSV")).astype(np.float32)
    mask = (hsv[..., 1] > 60) & (rgba[..., 3] > 60)
    if mask.sum() < 300:
        return None
    histogram = np.bincount(hsv[..., 0][mask].astype(int) // 8, minlength=32)
    peak = int(histogram.argmax())
    if histogram[[peak - 1, peak, (peak + 1) % 32]].sum() < 0.6 * histogram.sum():
        return None
    hue, saturation, value = GRAMMAR["paints"][target]
    turned = np.stack([(hsv[..., 0] + hue - peak * 8 - 4) % 256, hsv[..., 1] * saturation, hsv[..., 2] * value], -1).clip(0, 255)
    hsv = np.where(mask[..., None], turned, hsv).astype(np.uint8)
    out = rgba.copy()
    out[..., :3] = np.array(Image.fromarray(hsv, "HSV").convert("RGB"))
    return out if main_colour(out) == target else None


def tinted(rgba, colour):
    """A glyph's shape in one colour."""
    out = rgba.copy()
    out[..., :3] = COLOURS[colour].astype(np.uint8)
    return out


def pixelated(rgba, side):
    """Squares of PIXEL × PIXEL; [side, side, 4], `side` a multiple of it."""
    cells = np.asarray(Image.fromarray(rgba).resize((side // PIXEL, side // PIXEL), Image.BOX)).astype(np.float32)
    cells[..., :3] = (cells[..., :3] / STEP).round() * STEP
    cells[..., 3] = (cells[..., 3] > 110) * 255
    return cells.clip(0, 255).repeat(PIXEL, 0).repeat(PIXEL, 1)


def place(canvas, rgba, side, cx, cy, flip=False, pixel=False):
    side = int(side)
    if pixel:
        side = side // PIXEL * PIXEL
        scaled = pixelated(rgba, side)
    else:
        scaled = np.asarray(Image.fromarray(rgba).resize((side, side), Image.LANCZOS)).astype(np.float32)
    scaled = scaled[:, ::-1] if flip else scaled
    n, y, x = len(canvas), int(cy - side / 2), int(cx - side / 2)
    if pixel:
        y, x = y // PIXEL * PIXEL, x // PIXEL * PIXEL
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


def dressed(row, pictures, rng, plain, colour=None):
    """
    A drawing as it will be shown, and what it is called.
    @param colour  for a glyph, whose colour is ours to choose
    @return        RGBA, noun, main colour or None
    """
    rgba, noun = pictures[row["index"]], row["noun"]
    if not plain and rng.random() < SHARES["alias"]:
        noun = choose(GRAMMAR["aliases"].get(noun, [noun]), rng)
    if row["glyph"]:  # its colour is always said
        colour = colour or choose(NAMES, rng)
        return tinted(rgba, colour), colour + " " + without_colour(noun), colour
    if not plain and rng.random() < SHARES["recoloured"]:
        target = choose(NAMES, rng)
        turned = recolour(rgba, target)
        if turned is not None:
            return turned, target + " " + without_colour(noun), target
    if row["colour"] and row["colour"] not in noun and rng.random() < SHARES["colour"]:
        noun = row["colour"] + " " + without_colour(noun)
    return rgba, noun, row["colour"]


def example(row, pictures, other, rng, plain=False):
    """
    @param row       of the pictures' table: index, noun, tags, style, group, colour, glyph, pixel
    @param pictures  [N, 128, 128, 4] uint8
    @param other     gives another row of the same style
    @param plain     subjects alone: no pairs, no recolouring, no keywords
    @return          [128, 128, 3] uint8, caption, rows used
    """
    rgba, noun, colour = dressed(row, pictures, rng, plain)
    style = choose(GRAMMAR["styles"][row["style"]], rng) if row["glyph"] or row["pixel"] or rng.random() < SHARES["style"] else None
    kind = 1.0 if plain else rng.random()
    used, bare, pixel = [row], False, row["pixel"]
    flip = rng.random() < SHARES["flipped"] and row["group"] not in GRAMMAR["no_flip"]
    if kind < SHARES["several"] and countable(noun):
        background = background_for({colour}, rng)
        canvas, n = paint(background, rng), 2 if rng.random() < 0.6 else 3
        for j in range(n):
            place(canvas, rgba, (62 if n == 2 else 44) * rng.uniform(0.9, 1.05), SIDE * (j + 0.5) / n, 64 + rng.normal(0, 3), flip, pixel)
        noun, bare = GRAMMAR["numbers"][str(n)] + " " + plural(noun), True
    elif kind < SHARES["several"] + SHARES["pair"]:
        second = other(row["style"])
        used.append(second)
        second_rgba, second_noun, second_colour = dressed(second, pictures, rng, plain, colour)
        background = background_for({colour, second_colour}, rng)
        canvas = paint(background, rng)
        beside = rng.random() < SHARES["beside"]
        place(canvas, rgba, 62, *((33, 64) if beside else (64, 32)), flip, pixel)
        place(canvas, second_rgba, 62, *((95, 64) if beside else (64, 96)), False, second["pixel"])
        noun, bare = choose(GRAMMAR["pairs"]["beside" if beside else "above"], rng).format(
            a=article(noun), b=article(second_noun), bare_a=noun, bare_b=second_noun), True
    else:
        background = background_for({colour}, rng)
        canvas = paint(background, rng)
        size = rng.random()
        size = "small" if size < SHARES["small"] else "large" if size < SHARES["small"] + SHARES["large"] else None
        side = {"small": rng.integers(46, 66), "large": rng.integers(120, 129), None: rng.integers(100, 124)}[size]
        cx, cy = 64 + (rng.uniform(-16, 16, 2) if size == "small" else np.zeros(2))
        place(canvas, rgba, side, cx, cy, flip, pixel)
        if size:
            noun = choose(GRAMMAR["sizes"][size], rng) + " " + noun
        if not plain and row["tags"] and rng.random() < SHARES["keyword"]:
            noun += ", " + choose(row["tags"], rng)
        elif not plain and rng.random() < SHARES["filler"]:
            noun, bare = choose(GRAMMAR["fillers"], rng) + " " + noun, True
    return canvas.clip(0, 255).round().astype(np.uint8), sentence(noun, style, background, rng, bare), used
