# SPDX-License-Identifier: Apache-2.0
"""What the options that change the picture save and cost: exact runs and runs with each option, in turn, as a table.

    approximations.py LIMN [--model FOLDER] [--name NAME] [--size PIXELS] [--steps 20] [--rounds 3] [--prompt TEXT] [--seeds 7 8]
                      [--tiny-vae FILE] [--write DOCUMENT]

Time is that of denoising (with --tiny-vae: of denoising and decoding), as the ratio of the least of all rounds to that of the
exact runs: what else the machine does only adds to it. Relative L2 is of the final latents, PSNR of the pictures' 8-bit pixels, both the
mean over seeds.
--write fills the section between <!-- approximations:NAME --> and <!-- end --> of DOCUMENT. Needs numpy, safetensors, Pillow.
"""
import argparse
import json
import math
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile

import numpy
from PIL import Image
from safetensors.numpy import load_file

OPTIONS = {
    "exact": [],
    "`--dtype bfloat16`": ["--dtype", "bfloat16"],
    "`--quantize int8`": ["--quantize", "int8"],
    "`--quantize int8_inputs`": ["--quantize", "int8_inputs"],
    "`--step-cache 2`": ["--step-cache", "2"],
    "`--step-cache 3`": ["--step-cache", "3"],
    "`--step-cache 5`": ["--step-cache", "5"],
    "`--step-cache 3 --step-cache-branch 2`": ["--step-cache", "3", "--step-cache-branch", "2"],
    "`--token-merging 0.25`": ["--token-merging", "0.25"],
    "`--token-merging 0.5`": ["--token-merging", "0.5"],
    "`--step-cache 2 --token-merging 0.5`": ["--step-cache", "2", "--token-merging", "0.5"],
    "`--guidance-end 0.8`": ["--guidance-end", "0.8"],
    "`--guidance-end 0.5`": ["--guidance-end", "0.5"],
}


def draw(args, options, seed, folder):
    """One run. @return seconds by part, latents, pixels"""
    picture, latents = folder / "picture.png", folder / "latents.safetensors"
    picture.unlink(missing_ok=True)
    latents.unlink(missing_ok=True)
    command = [args.limn, "generate", args.prompt, "--seed", str(seed), "--steps", str(args.steps), "--output", str(picture),
               "--save-latents", str(latents), "--json", *options]
    for name, value in (("--model", args.model), ("--width", args.size), ("--height", args.size)):
        command += [name, str(value)] if value else []
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    if run.returncode:
        sys.exit(f"{' '.join(command)}\n{run.stderr}")
    timings = json.loads(run.stdout.splitlines()[-1])["timings"]
    pixels = numpy.asarray(Image.open(picture).convert("RGB"), dtype=numpy.float64)
    return timings, load_file(latents)["latents"].astype(numpy.float64), pixels


def psnr(found, exact):
    error = float(numpy.mean((found - exact) ** 2))
    return 10 * math.log10(255**2 / error) if error else math.inf


def measure(args):
    """@return {option: [(seconds, seconds of the exact run, relative L2, PSNR), …]}, an entry for each round and seed"""
    options = dict(OPTIONS)
    if args.tiny_vae:
        options["`--vae` TAESD"] = ["--vae", args.tiny_vae]
    found = {name: [] for name in options}
    with tempfile.TemporaryDirectory() as folder:
        for turn in range(args.rounds):
            for seed in args.seeds:
                runs = {name: draw(args, more, seed, pathlib.Path(folder)) for name, more in options.items()}
                times, latents, pixels = runs["exact"]
                for name, (own, own_latents, own_pixels) in runs.items():
                    parts = ("denoise", "decode") if "--vae" in name else ("denoise",)
                    seconds = [sum(timings[part] for part in parts) for timings in (own, times)]
                    distance = numpy.linalg.norm(own_latents - latents) / numpy.linalg.norm(latents)
                    found[name].append((*seconds, float(distance), psnr(own_pixels, pixels)))
            print(f"limn: round {turn + 1} of {args.rounds}", file=sys.stderr, flush=True)
    return found


def table(found):
    lines = ["| option | time | relative L2 of latents | PSNR, dB |", "|---|---|---|---|"]
    for name, values in found.items():
        own, exact, distance, noise = zip(*values)
        lines.append(f"| {name} | {min(own) / min(exact):.2f} | {statistics.mean(distance):.2g} | "
                     f"{statistics.mean(noise):.1f} |")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("limn")
    parser.add_argument("--model")
    parser.add_argument("--name", default="embedded")
    parser.add_argument("--size", type=int)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--prompt", default="a red apple, noto style")
    parser.add_argument("--seeds", type=int, nargs="+", default=[7, 8])
    parser.add_argument("--tiny-vae")
    parser.add_argument("--write", type=pathlib.Path)
    args = parser.parse_args()
    text = table(measure(args))
    print(text)
    if not args.write:
        return
    section = re.compile(rf"(<!-- approximations:{re.escape(args.name)} -->).*?(<!-- end -->)", re.DOTALL)
    command = "python3 tools/approximations.py " + " ".join(
        f"'{value}'" if " " in value else value for value in sys.argv[1:] if value not in ("--write", str(args.write)))
    document, count = section.subn(lambda m: f"{m[1]}\n{text}\n\n`{command}`\n{m[2]}", args.write.read_text())
    if not count:
        sys.exit(f"{args.write} has no section {args.name}")
    args.write.write_text(document)


if __name__ == "__main__":
    main()
