# SPDX-License-Identifier: Apache-2.0
"""Builds the emoji data set: packages → pictures → composed examples in WebDataset tar shards.

    build.py OUT --preset mini|base|blob|full [--cache DIR]
    build.py --lock        writes packages.json anew: the integrity of every package
"""
import argparse
import base64
import collections
import concurrent.futures
import hashlib
import io
import json
import multiprocessing
import pathlib
import re
import subprocess
import sys
import tarfile
import tempfile

import numpy as np
from PIL import Image

from words import GRAMMAR

HERE = pathlib.Path(__file__).resolve().parent
SOURCES = json.loads((HERE / "sources.json").read_text())
PER_SHARD, VALIDATION = 4000, 0.015


def integrity_of(path):
    return "sha512-" + base64.b64encode(hashlib.sha512(path.read_bytes()).digest()).decode()


def download(package, folder):
    """The package's archive, as its registry has it."""
    result = subprocess.run(["npm", "pack", "--silent", "--pack-destination", str(folder), package], capture_output=True, text=True)
    if result.returncode != 0:
        raise SystemExit(f"limn: npm pack {package} failed:\n{result.stderr}")
    return folder / result.stdout.split()[-1]


def unpacked(package, cache):
    """Its folder, downloaded and checked against packages.json once."""
    place = cache / "packages" / package.replace("/", "_")
    if not place.exists():
        wanted = json.loads((HERE / "packages.json").read_text())[package]
        with tempfile.TemporaryDirectory(dir=cache) as scratch:
            archive = download(package, pathlib.Path(scratch))
            found = integrity_of(archive)
            if found != wanted:
                raise SystemExit(f"limn: {package}: expected {wanted}, found {found}: not the package this data set is made of")
            with tarfile.open(archive) as tar:
                tar.extractall(pathlib.Path(scratch) / "content", filter="data")
            place.parent.mkdir(parents=True, exist_ok=True)
            (pathlib.Path(scratch) / "content").rename(place)
    return place / "package"


def write_lock():
    packages = [*SOURCES["names"], *(source["package"] for source in SOURCES["sets"].values())]
    with tempfile.TemporaryDirectory() as folder:
        lock = {package: integrity_of(download(package, pathlib.Path(folder))) for package in packages}
    (HERE / "packages.json").write_text(json.dumps(lock, indent=2) + "\n")


def pictures_of(preset, cache):
    import pictures
    names, by_slug = pictures.emoji_names(*(unpacked(p, cache) for p in SOURCES["names"]))
    groups, left_out = SOURCES["groups"][preset["groups"]], SOURCES["left_out"]
    code = b"".join((HERE / name).read_bytes() for name in ("pictures.py", "compose.py", "words.py", "grammar.json"))
    arrays, rows = [], []
    for name in preset["sets"]:
        source = SOURCES["sets"][name]
        key = hashlib.sha256(code + json.dumps([source, groups, left_out]).encode()).hexdigest()[:16]
        array_file, row_file = cache / f"{name}-{key}.npy", cache / f"{name}-{key}.json"
        if not row_file.exists():
            array, found, broken = pictures.load_set(name, source, unpacked(source["package"], cache), names, by_slug, groups, left_out)
            for problem in broken:
                print(f"limn: {name}: left out {problem}", file=sys.stderr)
            np.save(array_file, array)
            row_file.write_text(json.dumps(found))
        arrays.append(np.load(array_file, mmap_mode="r"))
        rows.append(json.loads(row_file.read_text()))
        print(f"limn: {name}: {len(rows[-1])} pictures", flush=True)
    if "subjects" in preset or not preset.get("tones", True):
        wanted = preset.get("subjects")
        kept = [[i for i, row in enumerate(found) if (not wanted or row["noun"] in wanted) and (preset.get("tones", True) or not row["toned"])]
                for found in rows]
        arrays = [array[keep] for array, keep in zip(arrays, kept)]
        rows = [[found[i] for i in keep] for found, keep in zip(rows, kept)]
    flat = [row for found in rows for row in found]
    for i, row in enumerate(flat):
        row["index"] = i
    return np.concatenate(arrays), flat


def weights_of(rows, preset):
    """How often a row is drawn: its set's weight shared by the set's pictures, times those of its group and skin tone."""
    count = collections.Counter(row["set"] for row in rows)
    weights = np.array([preset["sets"][row["set"]] / count[row["set"]] * SOURCES["group_weights"].get(row["group"], 1)
                        * (SOURCES["skin_tone_weight"] if row["toned"] else 1) for row in rows])
    return weights / weights.sum()


def member(tar, name, content):
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(content), 0o644  # time, owner and group stay 0
    tar.addfile(info, io.BytesIO(content))


def json_row(key, caption, used):
    unique = lambda field: sorted({row[field] for row in used})
    split = "validation" if int(hashlib.sha256(key.encode()).hexdigest()[:13], 16) / 2**52 < VALIDATION else "train"
    row = dict(caption=caption, caption_origin="grammar", source=" ".join(unique("source")), name=", ".join(row["name"] for row in used),
               licence=" AND ".join(unique("licence")), attribution="; ".join(unique("attribution")), people="none", split=split)
    return json.dumps(row, ensure_ascii=False, sort_keys=True).encode()


def shard(number, count, pictures, rows, weights, preset, out):
    from compose import example
    by_style = collections.defaultdict(list)
    for row in rows:
        by_style[row["style"]].append(row)
    path, words = out / f"{number:05}.tar", set()
    with tarfile.open(path.with_suffix(".partial"), "w", format=tarfile.USTAR_FORMAT) as tar:
        for i in range(number * PER_SHARD, min((number + 1) * PER_SHARD, count)):
            rng = np.random.default_rng([20260101, i])
            row = rows[int(rng.choice(len(rows), p=weights))]
            other = lambda style: by_style[style][int(rng.integers(len(by_style[style])))]
            image, caption, used = example(row, pictures, other, rng, preset.get("plain", False))
            png = io.BytesIO()
            Image.fromarray(image).save(png, "PNG", compress_level=3)
            key = f"{i:07}"
            member(tar, key + ".json", json_row(key, caption, used))
            member(tar, key + ".png", png.getvalue())
            words.update(re.findall(r"[^\W_][\w'-]*", caption.lower()))
    path.with_suffix(".partial").rename(path)
    return words


def vocabulary(words, rows):
    """What a model of this data set knows, for vocabulary.json in its folder. Only what CLDR says a subject has to do with is related."""
    related, names = collections.defaultdict(set), {row["noun"] for row in rows}
    for row in rows:
        for tag in row["tags"]:
            if tag not in words and tag.isalpha():
                related[tag].add(row["noun"])
    subjects = sorted(names | {alias for noun in names for alias in GRAMMAR["aliases"].get(noun, ())})
    return {"words": sorted(words), "subjects": subjects,
            "related": {tag: sorted(nouns, key=lambda noun: (len(noun), noun))[:3] for tag, nouns in sorted(related.items())}}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("out", nargs="?", type=pathlib.Path)
    parser.add_argument("--preset", choices=SOURCES["presets"], default="base")
    parser.add_argument("--cache", type=pathlib.Path)
    parser.add_argument("--lock", action="store_true")
    a = parser.parse_args()
    if a.lock:
        return write_lock()
    if a.out is None:
        parser.error("OUT is missing")
    cache = a.cache or a.out.parent / "emoji-cache"
    cache.mkdir(parents=True, exist_ok=True)
    preset = SOURCES["presets"][a.preset]
    pictures, rows = pictures_of(preset, cache)
    weights, out = weights_of(rows, preset), a.out / "shards"
    out.mkdir(parents=True, exist_ok=True)
    shards = -(-preset["examples"] // PER_SHARD)
    with concurrent.futures.ProcessPoolExecutor(mp_context=multiprocessing.get_context("fork")) as pool:
        made = [pool.submit(shard, number, preset["examples"], pictures, rows, weights, preset, out) for number in range(shards)]
        words = set()
        for done, future in enumerate(made):
            words |= future.result()
            print(f"limn: shard {done + 1} of {shards}", flush=True)
    (a.out / "vocabulary.json").write_text(json.dumps(vocabulary(words, rows), ensure_ascii=False, separators=(",", ":")) + "\n")
    print(f"limn: {preset['examples']} examples of {len(rows)} pictures, {len({row['noun'] for row in rows})} subjects")


if __name__ == "__main__":
    main()
