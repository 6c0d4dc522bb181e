# SPDX-License-Identifier: Apache-2.0
"""Compares the peak memory that `limn plan` predicts with that of `limn generate`, as the table of docs/performance.md.

    tools/memory.py build/release/bin/limn MODEL:WIDTHxHEIGHT[:OPTION…]...

An empty MODEL is the embedded one; options are those of limn generate without their dashes:
    tools/memory.py build/release/bin/limn :128x128 sd15/:512x512 sd15/:512x512:plain sd15/:512x512:vae-tile=256
Measured is the greatest resident set of a whole run of one step (ru_maxrss).
"""
import json
import os
import pathlib
import subprocess
import sys
import tempfile


def arguments(case):
    model, size, *options = case.split(":")
    width, height = size.split("x")
    words = ["a lighthouse in fog", "--width", width, "--height", height]
    if model:
        words += ["--model", model]
    for option in options:
        words.append("--" + option)
    return words, pathlib.Path(model).name or "embedded", size, ", ".join(options)


def peak_of(command):
    """MiB of the greatest resident set."""
    child = os.posix_spawnp(command[0], command, os.environ)
    _, status, usage = os.wait4(child, 0)
    if status != 0:
        raise SystemExit(f"failed: {' '.join(command)}")
    return usage.ru_maxrss / 1024


def main(program, cases):
    print("| model | size | options | predicted, MiB | measured, MiB | error |\n|---|---|---|---|---|---|")
    worst = 0
    with tempfile.TemporaryDirectory() as folder:
        for case in cases:
            words, model, size, options = arguments(case)
            plan = subprocess.run([program, "plan", *words, "--json"], capture_output=True, text=True, check=True)
            predicted = json.loads(plan.stdout)["peak"]
            measured = peak_of([program, "generate", *words, "--steps", "1", "--seed", "1", "--quiet", "--force",
                                "--output", f"{folder}/picture.png"])
            error = predicted / measured - 1
            worst = max(worst, abs(error))
            print(f"| {model} | {size} | {options} | {predicted:.0f} | {measured:.0f} | {error:+.1%} |", flush=True)
    return worst > 0.1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
