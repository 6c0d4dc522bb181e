# SPDX-License-Identifier: Apache-2.0
"""Makes the model that bench/cases name, once: Stable Diffusion 1.5's architecture with seeded random weights.

    python make_models.py LIMN_PROGRAM FOLDER

sd15-fp16 is 2.1 GB, sd15-fp32 4.3 GB, both in diffusers' layout, with the same numbers. Runs in the peers' environment.
"""
import os
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "tools"))
import full_size  # noqa: E402


def main(limn, folder):
    os.makedirs(folder, exist_ok=True)
    half, single = (os.path.join(folder, name) for name in ("sd15-fp16", "sd15-fp32"))
    full_size.make(half, full_size.here("make_folder", half + ".part"), half + ".part")
    full_size.make(single, [limn, "convert", half, single + ".part", "--dtype", "float32", "--force", "--quiet"],
                   single + ".part")


if __name__ == "__main__":
    main(*sys.argv[1:])
