# SPDX-License-Identifier: Apache-2.0
"""From packages to pictures: 128 × 128 RGBA and a row for each."""
import hashlib
import io
import json
import pathlib
import re

import numpy as np
import resvg_py
from PIL import Image

from compose import SIDE, main_colour
from words import GRAMMAR, noun_of

BORDER, RASTER = 4, 192
GROUPS = ["smileys", "people", "component", "animals nature", "food drink", "travel places", "activities", "objects", "symbols", "flags"]
TONES = re.compile(r"skin-tone|-(1f3f[b-f])", re.I)


def plain(hexcode):
    return "-".join(part for part in hexcode.upper().split("-") if part != "FE0F")


def slug(text):
    for a, b in zip("’'ñãéôåíç", ("", "", "n", "a", "e", "o", "a", "i", "c")):
        text = text.lower().replace(a, b)
    return re.sub(r"[^a-z0-9]+", "-", text.replace("&", "and")).strip("-")


def emoji_names(base, lib):
    """hexcode -> label, tags, group; and slug -> hexcode"""
    words = {plain("-".join("%04X" % ord(c) for c in key)): [w.replace("_", " ") for w in value]
             for key, value in json.loads((lib / "dist" / "emoji-en-US.json").read_text()).items()}
    names, by_slug = {}, {}
    for entry in json.loads((base / "en" / "data.json").read_text()):
        for emoji in [entry, *entry.get("skins", [])]:
            code = plain(emoji["hexcode"])
            by_slug.setdefault(slug(emoji["label"]), code)
            if entry.get("group") is not None:
                names[code] = dict(label=emoji["label"], group=GROUPS[entry["group"]], toned=emoji is not entry,
                                   tags=sorted({t.lower() for t in [*entry.get("tags", []), *words.get(plain(entry["hexcode"]), [])]
                                                if re.fullmatch(r"[a-z' -]+", t.lower())}))
    return names, by_slug


def fit(image):
    """Trimmed, scaled into the square with a border, colour under transparency kept clean; None when nothing is there."""
    image = image.convert("RGBA")
    solid = np.asarray(image)[..., 3] > 8
    if solid.sum() < 30:
        return None
    ys, xs = np.where(solid)
    image = image.crop((int(xs.min()), int(ys.min()), int(xs.max()) + 1, int(ys.max()) + 1))
    scale = (SIDE - 2 * BORDER) / max(image.size)
    size = tuple(max(1, round(side * scale)) for side in image.size)
    weighted = np.asarray(image).astype(np.float32)
    weighted[..., :3] *= weighted[..., 3:] / 255
    scaled = np.stack([np.asarray(Image.fromarray(weighted[..., c]).resize(size, Image.LANCZOS)) for c in range(4)], -1)
    alpha = np.clip(scaled[..., 3:], 0, 255)
    rgb = np.where(alpha > 0.5, scaled[..., :3] * 255 / np.maximum(alpha, 0.5), 0)
    out = np.zeros((SIDE, SIDE, 4), np.uint8)
    y, x = (SIDE - size[1]) // 2, (SIDE - size[0]) // 2
    out[y:y + size[1], x:x + size[0]] = np.clip(np.concatenate([rgb, alpha], -1), 0, 255).round()
    return out


def drawings(folder, kind):
    """(name, hexcode or None, encoded SVG text or path) of a package's pictures."""
    if kind == "webp":
        for path in sorted((folder / "assets").glob("*.webp")):
            yield path.stem, plain(path.stem), path
        return
    icons = json.loads((folder / "icons.json").read_text())
    width, height = icons.get("width", 16), icons.get("height", 16)
    chars = folder / "chars.json"
    codes = {name: plain(code) for code, name in json.loads(chars.read_text()).items()} if chars.exists() else {}
    for name, icon in icons["icons"].items():
        if icon.get("hidden"):
            continue
        box = f'{icon.get("left", 0)} {icon.get("top", 0)} {icon.get("width", width)} {icon.get("height", height)}'
        yield name, codes.get(name), (f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
                                      f'viewBox="{box}" width="{RASTER}" height="{RASTER}">{icon["body"]}</svg>')


def raster(drawing):
    if isinstance(drawing, pathlib.Path):
        return Image.open(drawing)
    return Image.open(io.BytesIO(bytes(resvg_py.svg_to_bytes(svg_string=drawing, width=RASTER, skip_system_fonts=True))))


def load_set(name, source, folder, names, by_slug, groups, left_out):
    """Pictures and rows of one set, those of the wanted groups; broken and equal pictures are left out."""
    groups, known_nouns = source.get("groups", groups), {noun_of(entry["label"]) for entry in names.values()}
    known_nouns |= {alias for aliases in GRAMMAR["aliases"].values() for alias in aliases}
    pictures, rows, seen, broken = [], [], set(), []
    for drawing_name, code, drawing in drawings(folder, source["kind"]):
        if source["kind"] in ("emoji", "webp"):
            known = names.get(code or by_slug.get(drawing_name))
            if not known or known["group"] not in groups or (known["toned"] and "people" not in groups):
                continue
            noun, tags, group, toned = noun_of(known["label"]), known["tags"], known["group"], known["toned"]
        else:
            noun, tags, group, toned = noun_of(drawing_name.replace("-", " ")), [], source["kind"], False
        if noun is None or re.search(left_out, noun) or (source.get("known") and noun not in known_nouns):
            continue
        try:
            rgba = fit(raster(drawing))
        except Exception as problem:  # the rasteriser names no class of its own
            broken.append(f"{drawing_name}: {problem}")
            continue
        digest = None if rgba is None else hashlib.sha256(rgba.tobytes()).digest()
        if rgba is None or digest in seen:
            continue
        seen.add(digest)
        rows.append(dict(noun=noun, tags=tags, group=group, toned=toned, set=name, style=source.get("style", name),
                         glyph=source["kind"] == "glyph" or name == "shape", pixel=name == "pixel", name=drawing_name,
                         source=source["package"], licence=source["licence"], attribution=source["attribution"],
                         colour=main_colour(rgba)))
        pictures.append(rgba)
    return np.stack(pictures), rows, broken
