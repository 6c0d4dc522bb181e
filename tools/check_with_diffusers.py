# SPDX-License-Identifier: Apache-2.0
"""Whether what `limn train` wrote is the same to diffusers: final latents of both, side by side.

    check_with_diffusers.py LIMN MODEL [--lora FILE] [--prompt TEXT] [--steps 5]

Needs diffusers, transformers, safetensors, and peft for --lora. diffusers 0.42.1 cannot load a text encoder's LoRA with
transformers 5, so a LoRA for that check must be of the U-Net alone.
"""
import argparse
import pathlib
import subprocess
import sys
import tempfile

import torch
from diffusers import StableDiffusionPipeline
from safetensors.torch import load_file

parser = argparse.ArgumentParser()
parser.add_argument("limn"), parser.add_argument("model")
parser.add_argument("--lora")
parser.add_argument("--prompt", default="a red heart")
parser.add_argument("--steps", type=int, default=5)
a = parser.parse_args()
pipe = StableDiffusionPipeline.from_pretrained(a.model, torch_dtype=torch.float32)
pipe.set_progress_bar_config(disable=True)
side = pipe.unet.config.sample_size * pipe.vae_scale_factor
common = dict(num_inference_steps=a.steps, guidance_scale=3.0, width=side, height=side, output_type="latent")
draw = lambda: pipe(a.prompt, generator=torch.Generator().manual_seed(5), **common).images
with tempfile.TemporaryDirectory() as folder:
    def ours(*more):
        file = pathlib.Path(folder) / f"{len(more)}.safetensors"
        subprocess.run([a.limn, "generate", a.prompt, "--model", a.model, "--steps", str(a.steps), "--guidance-scale", "3", "--seed", "5",
                        "--width", str(side), "--height", str(side), "--output", f"{folder}/{len(more)}.png", "--save-latents", file,
                        "--quiet", *more], check=True)
        return load_file(file)["latents"]
    distance = lambda x, y: float((x - y).norm() / y.norm())
    found = {"model": distance(ours(), draw())}
    if a.lora:
        plain = draw()
        pipe.load_lora_weights(str(pathlib.Path(a.lora).parent), weight_name=pathlib.Path(a.lora).name)
        found["LoRA"] = distance(ours("--lora", a.lora), draw())
        found["moved by"] = distance(draw(), plain)
        assert found["moved by"] > 1e-3, "the LoRA changes nothing in diffusers"
print(", ".join(f"{key} {value:.1e}" for key, value in found.items()))
sys.exit(not all(value < 1e-4 for key, value in found.items() if key != "moved by"))
