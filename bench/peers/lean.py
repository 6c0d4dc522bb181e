# SPDX-License-Identifier: Apache-2.0
"""A whole picture around compiled modules, without torch: what a careful user of such a runtime writes."""
import json
import os

import numpy as np
from peer import Clock


def save_tokenizer(model, folder):
    from transformers import AutoTokenizer
    AutoTokenizer.from_pretrained(os.path.join(model, "tokenizer")).backend_tokenizer.save(
        os.path.join(folder, "tokenizer.json"))


def ids_of(folder, texts, end=49407, length=77):
    from tokenizers import Tokenizer
    tokenizer = Tokenizer.from_file(os.path.join(folder, "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    rows = [tokenizer.encode(text).ids[:length - 1] for text in texts]
    return np.array([[*row, *[end] * (length - len(row))] for row in rows], dtype=np.int64)


class Euler:
    """diffusers' EulerDiscreteScheduler with leading timesteps (Karras et al. 2022, algorithm 1, no churn)."""

    def __init__(self, model, steps):
        with open(os.path.join(model, "scheduler", "scheduler_config.json"), encoding="utf-8") as file:
            config = json.load(file)
        count = config["num_train_timesteps"]
        betas = np.linspace(config["beta_start"]**0.5, config["beta_end"]**0.5, count, dtype=np.float64)**2
        alphas = np.cumprod(1 - betas)
        self.timesteps = np.arange(steps)[::-1] * (count // steps) + config["steps_offset"]
        levels = np.interp(self.timesteps, np.arange(count), ((1 - alphas) / alphas)**0.5)
        self.sigmas = np.append(levels, 0).astype(np.float32)
        self.init_noise_sigma = (self.sigmas[0]**2 + 1)**0.5


def draw(request, folder, begin):
    """@param begin  loads and compiles: a function from part and arrays by name to the module's output"""
    from PIL import Image
    from safetensors.numpy import load_file, save_file
    clock = Clock()
    parts = begin(("text", "step", "decode"))
    times = {"load": clock.lap()}
    texts = [request["negative_prompt"], request["prompt"]]
    states = parts["text"](ids=ids_of(folder, texts)).copy()
    times["encode"] = clock.lap()

    euler = Euler(request["model"], request["steps"])
    latents = load_file(request["init_latents"])["latents"] * euler.init_noise_sigma
    for timestep, sigma, following in zip(euler.timesteps, euler.sigmas, euler.sigmas[1:]):
        seen = latents / (sigma**2 + 1)**0.5
        negative, positive = parts["step"](sample=np.concatenate([seen, seen]), states=states,
                                           timestep=np.array([timestep], dtype=np.float32))
        noise = negative + request["guidance_scale"] * (positive - negative)
        latents = latents + (following - sigma) * noise
    times["denoise"] = clock.lap()
    pixels = parts["decode"](latents=latents)
    times["decode"] = clock.lap()
    picture = ((pixels[0].transpose(1, 2, 0) / 2 + 0.5).clip(0, 1) * 255).round().astype(np.uint8)
    Image.fromarray(picture).save(request["output"])
    save_file({"latents": np.ascontiguousarray(latents, dtype=np.float32)}, request["save_latents"])
    return times
