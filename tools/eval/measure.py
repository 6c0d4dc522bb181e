# SPDX-License-Identifier: Apache-2.0
"""Draws the prompts of prompts.json with a program and says how much of what they ask for is there:
measure.py LIMN CLASSIFIER CACHE OUT [--model DIR] [--limit N] [-- options of limn generate]
OUT gets pictures, results.json and report.md."""
import argparse
import json
import pathlib
import subprocess
import sys

import numpy as np
import torch
from PIL import Image

import scenes  # before looks: it puts the data set's modules on the path
import classifier
import compose
import looks

HERE = pathlib.Path(__file__).resolve().parent
GOALS = {"colour": 0.95, "background": 0.98, "count": 0.85, "style": 0.90, "subject of ceiling": 0.85}


def draw(limn, prompt, seed, path, options):
    if not path.exists():
        subprocess.run([limn, "generate", prompt, "--seed", str(seed), "--output", str(path), "--quiet", *options], check=True)
    picture = Image.open(path).convert("RGB")
    return np.asarray(picture.resize((128, 128), Image.LANCZOS) if picture.size != (128, 128) else picture)


def crops(picture, relation):
    """The two halves of a pair, each scaled up to a picture; left or upper first."""
    halves = [picture[32:96, :64], picture[32:96, 64:]] if relation != "above" else [picture[:64, 32:96], picture[64:, 32:96]]
    return [np.asarray(Image.fromarray(half).resize((128, 128), Image.LANCZOS)) for half in halves]


def judge(row, picture, name):
    """@param name  gives subject and style of a picture.  @return what is asked for: whether it is there"""
    out = {}
    said_subject, said_style = name(picture)
    if "background" in row:
        out["background"] = looks.background(picture)[0] == row["background"]
    if "colour" in row:
        out["colour"] = looks.dominant(picture) == row["colour"]
    if "style" in row:
        out["style"] = said_style == row["style"]
    if row["kind"] == "count":
        out["count"] = len(looks.things(picture)) == row["count"]
    elif row["kind"] == "pair":
        parts = [name(part)[0] for part in crops(picture, row["relation"])]
        wanted = [scenes.accepted(word, name.nouns) for word in row["subjects"]]
        orders = [(0, 1)] if row["relation"] in ("above", "left") else [(0, 1), (1, 0)]
        out["pair"] = any(parts[a] in wanted[0] and parts[b] in wanted[1] for a, b in orders)
    else:
        out["subject"] = said_subject in scenes.accepted(row["subjects"][0], name.nouns)
    if row["kind"] == "size":
        side = max(np.ptp(np.where(looks.foreground(picture))[axis]) for axis in (0, 1)) if looks.foreground(picture).any() else 0
        out["size"] = side < 78 if row["size"] == "small" else side > 92
    return {key: bool(value) for key, value in out.items()}


class Namer:
    def __init__(self, path):
        self.model, self.nouns, self.ceiling = classifier.load(path)

    @torch.no_grad()
    def features(self, pictures):
        return torch.cat([self.model(classifier.to_input(pictures[i:i + 64]))[0] for i in range(0, len(pictures), 64)]).double().numpy()

    @torch.no_grad()
    def __call__(self, picture):
        _, subject, style = self.model(classifier.to_input([picture]))
        return self.nouns[int(subject.argmax())], scenes.STYLES[int(style.argmax())]


def frechet(a, b):
    """Heusel et al. 2017, eq. 6; the root of the product by the symmetric form."""
    def root(m):
        values, vectors = np.linalg.eigh(m)
        return vectors * np.sqrt(values.clip(0)) @ vectors.T
    mean_a, mean_b, cov_a, cov_b = a.mean(0), b.mean(0), np.cov(a.T), np.cov(b.T)
    half = root(cov_a)
    return float(((mean_a - mean_b) ** 2).sum() + np.trace(cov_a + cov_b) - 2 * np.trace(root(half @ cov_b @ half)))


def cut_out(picture):
    """The foreground alone, scaled into 24 × 24 on grey."""
    mask = looks.foreground(picture)
    if mask.sum() < 50:
        return None
    ys, xs = np.where(mask)
    clean = np.where(mask[..., None], picture, 128).astype(np.uint8)[ys.min():ys.max() + 1, xs.min():xs.max() + 1]
    return np.asarray(Image.fromarray(clean).resize((24, 24), Image.BOX)).astype(np.float32) / 255


def near_copies(drawn, rows, pictures, nouns):
    """Share of pictures that are nearer to a training drawing than drawings of that subject in other styles are to each other."""
    near, of = 0, 0
    for row, picture in drawn:
        wanted = scenes.accepted(row["subjects"][0], nouns)
        shapes = []
        for source in rows:
            if source["noun"] in wanted and source["set"] not in scenes.HELD_OUT:
                canvas = np.full((128, 128, 3), 255 if source["colour"] != "white" else 60, np.float32)
                compose.place(canvas, pictures[source["index"]], 120, 64, 64)
                shapes.append((source["style"], cut_out(canvas.astype(np.uint8))))
        own = cut_out(picture)
        shapes = [(style, shape) for style, shape in shapes if shape is not None]
        between = [np.abs(a - b).mean() for i, (s, a) in enumerate(shapes) for t, b in shapes[:i] if s != t]
        if own is None or not between:
            continue
        of += 1
        near += min(np.abs(own - shape).mean() for _, shape in shapes) < min(between)
    return near / max(of, 1), of


def table(results, ceiling):
    keys = ["colour", "background", "count", "style", "subject", "pair", "size"]
    shares = {key: [r["found"][key] for r in results if key in r["found"]] for key in keys}
    lines = ["| asked for | prompts | right | goal |", "|---|---|---|---|"]
    for key in keys:
        if not shares[key]:
            continue
        share, goal = float(np.mean(shares[key])), GOALS.get(key)
        lines.append(f"| {key} | {len(shares[key])} | {share:.1%} | {f'{goal:.0%}' if goal else ''} |")
        if key == "subject":
            lines.append(f"| subject, of the classifier's {ceiling['subject']:.1%} on real pictures | {len(shares[key])} | "
                         f"{share / ceiling['subject']:.1%} | {GOALS['subject of ceiling']:.0%} |")
    return lines


def main():
    own, options = (sys.argv[1:sys.argv.index("--")], sys.argv[sys.argv.index("--") + 1:]) if "--" in sys.argv else (sys.argv[1:], [])
    parser = argparse.ArgumentParser()
    for name in ("limn", "classifier", "cache", "out"):
        parser.add_argument(name)
    parser.add_argument("--model")
    parser.add_argument("--limit", type=int)
    parser.add_argument("--real", type=int, default=1500, help="held-out scenes for the Fréchet distance")
    a = parser.parse_args(own)
    options += ["--model", a.model] if a.model else []
    out = pathlib.Path(a.out)
    out.mkdir(parents=True, exist_ok=True)
    name = Namer(a.classifier)
    prompts = json.loads((HERE / "prompts.json").read_text())
    prompts = prompts[::max(1, len(prompts) // a.limit)] if a.limit else prompts
    results, drawn = [], []
    for i, row in enumerate(prompts):
        picture = draw(a.limn, row["prompt"], 1000 + i, out / f"{i:03}.png", options)
        results.append(dict(row, picture=f"{i:03}.png", found=judge(row, picture, name)))
        drawn.append((row, picture))
        print(f"limn: {i + 1} of {len(prompts)}", end="\r", flush=True)
    pictures, rows, nouns = scenes.load(a.cache)
    rng = np.random.default_rng(5)
    trained = [row for row in rows if row["set"] not in scenes.HELD_OUT]
    real = [scenes.scene(trained[int(rng.integers(len(trained)))], pictures, rng) for _ in range(a.real)]
    single = [(row, picture) for row, picture in drawn if row["kind"] not in ("count", "pair")]
    features = name.features(real)
    distance = frechet(name.features([picture for _, picture in single]), features)
    floor = frechet(features[:len(single)], features[len(single):])
    copies, of = near_copies(single, rows, pictures, nouns)
    failures = [r for r in results if not all(r["found"].values())]
    lines = [*table(results, name.ceiling), "",
             f"Fréchet distance in the classifier's features: {distance:.1f} ({floor:.1f} between two sets of real scenes). "
             f"Near copies: {copies:.1%} of {of} pictures.", "", f"## The {len(failures)} of {len(results)} prompts that were not met", "",
             *(f"- {r['picture']} {r['prompt']}: {', '.join(key for key, ok in r['found'].items() if not ok)}" for r in failures)]
    (out / "report.md").write_text("\n".join(lines) + "\n")
    (out / "results.json").write_text(json.dumps(dict(results=results, ceiling=name.ceiling, frechet=distance, frechet_of_real=floor,
                                                      near_copies=copies), indent=1) + "\n")
    print("\n".join(lines[:14]))


if __name__ == "__main__":
    main()
