# SPDX-License-Identifier: Apache-2.0
"""What every peer shares: a request comes as JSON in the first argument, the answer leaves as the last line of the output.

A request has a `task`:
    prepare   make what the program needs besides the model's folder, in the folder `cache`; not timed
    part      load what the part needs, do it once, then `repeats` times: {"load": s, "seconds": [s, …]}
    run       a whole picture: {"load": s, "encode": s, "denoise": s, "decode": s}, files `save_latents` and `output`
and besides it `model` (a diffusers folder), `cache`, `width`, `height`, `threads`, the options of its row in
bench/programs.json (`dtype`, …); for parts `part` (text, step, decode) and `repeats`; for runs `prompt`,
`negative_prompt`, `steps`, `guidance_scale`, and `init_latents`, a safetensors file of unit noise.
{"unavailable": "why"} is an answer too.
"""
import json
import os
import sys
import time


class Clock:
    """Seconds between laps."""

    def __init__(self):
        self.start = time.perf_counter()

    def lap(self):
        start, self.start = self.start, time.perf_counter()
        return self.start - start


def seconds_of(work, repeats):
    """Once for the caches, then timed."""
    work()
    clock = Clock()
    return [(work(), clock.lap())[1] for _ in range(repeats)]


def written_once(folder, write):
    """Runs write(part) unless `folder` is there, and gives it its name only when it is whole."""
    if not os.path.exists(folder):
        os.makedirs(folder + ".part", exist_ok=True)
        write(folder + ".part")
        os.rename(folder + ".part", folder)
    return folder


def noise(*shape, seed=0):
    import numpy as np
    return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)


def inputs_of(part, height, width):
    """Arrays for one call of a part's module: both halves of guidance, one picture to decode."""
    import numpy as np
    if part == "text":
        return {"ids": np.random.default_rng(0).integers(1, 49000, (2, 77))}
    if part == "step":
        return {"sample": noise(2, 4, height // 8, width // 8), "timestep": np.array([500], dtype=np.float32),
                "states": noise(2, 77, 768, seed=1)}
    return {"latents": noise(1, 4, height // 8, width // 8)}


def main(peer):
    """@param peer  an object of a class with the methods prepare, part and run, each from request to answer"""
    request = json.loads(sys.argv[1])
    try:
        answer = getattr(peer, request["task"])(request) or {}
    except ImportError as error:
        answer = {"unavailable": f"not installed: {error.name or error} (make bench-peers)"}
    print(json.dumps(answer), flush=True)
