# SPDX-License-Identifier: Apache-2.0
"""Writes tests/goldens/: a tiny model in diffusers' layout, and what diffusers 0.42.1 makes with it.

usage: pipelines.py REPOSITORY
"""
import json
import os
import sys

import diffusers
import numpy as np
import torch
from diffusers import StableDiffusionImg2ImgPipeline, StableDiffusionPipeline
from PIL import Image
from safetensors.torch import save_file
from transformers import CLIPTokenizer

import tiny_model

ROOT = sys.argv[1]
OUT = os.path.join(ROOT, "tests", "goldens")
TOKENIZER = CLIPTokenizer.from_pretrained(os.path.join(ROOT, "data", "embedded", "tokenizer"))
LONG = "a very long prompt about " + ", ".join(f"a lighthouse number {i} in the fog" for i in range(30))

BASE = dict(prompt="a lighthouse in fog", negative_prompt="", width=64, height=64, steps=6, guidance_scale=7.5, seed=7,
            count=1)
CASES = [dict(name=f"scheduler_{name}", scheduler=name, class_name=cls) for name, cls in [
    ("ddim", "DDIMScheduler"), ("ddpm", "DDPMScheduler"), ("pndm", "PNDMScheduler"), ("euler", "EulerDiscreteScheduler"),
    ("euler_ancestral", "EulerAncestralDiscreteScheduler"), ("heun", "HeunDiscreteScheduler"),
    ("lms", "LMSDiscreteScheduler"), ("dpmpp_2m", "DPMSolverMultistepScheduler"),
    ("unipc", "UniPCMultistepScheduler"), ("deis", "DEISMultistepScheduler")]]
CASES += [
    dict(name="own_scheduler", steps=20),
    dict(name="dpmpp_2m_karras", scheduler="dpmpp_2m", class_name="DPMSolverMultistepScheduler", schedule="karras",
         config=dict(use_karras_sigmas=True), steps=20),
    dict(name="euler_trailing", scheduler="euler", class_name="EulerDiscreteScheduler", schedule="trailing",
         config=dict(timestep_spacing="trailing")),
    dict(name="ddim_eta", scheduler="ddim", class_name="DDIMScheduler", eta=0.7, steps=8),
    dict(name="other_letter", prompt="a lighthouse in dog"),
    dict(name="negative_prompt", negative_prompt="blurry, low quality"),
    dict(name="empty_prompt", prompt=""),
    dict(name="unicode", prompt="Ein Leuchtturm im Nebel — 灯塔 в тумане, naïve CAFÉ’s 🗼 ½ Ǆ İstanbul"),
    dict(name="over_long", prompt=LONG),
    dict(name="clip_skip_1", clip_skip=1),
    dict(name="clip_skip_2", clip_skip=2, negative_prompt="fog"),
    dict(name="guidance_1", guidance_scale=1.0),
    dict(name="guidance_0", guidance_scale=0.0, negative_prompt="ignored"),
    dict(name="batch", count=3),
    dict(name="batch_ancestral", count=3, scheduler="euler_ancestral", class_name="EulerAncestralDiscreteScheduler"),
    dict(name="odd_size", width=72, height=56),
    dict(name="odd_size_2", width=104, height=40, count=2),
    dict(name="seed_64_bit", seed=2**63 + 12345),
    dict(name="seed_largest", seed=2**64 - 1),
    dict(name="one_step", steps=1),
    dict(name="many_steps", steps=50, scheduler="ddim", class_name="DDIMScheduler"),
]
IMG2IMG = [
    dict(name="img2img", strength=0.6, steps=10),
    dict(name="img2img_batch", strength=0.8, steps=8, count=2, scheduler="ddim", class_name="DDIMScheduler"),
    dict(name="img2img_resized", strength=0.5, steps=10, width=96, height=48, scheduler="dpmpp_2m",
         class_name="DPMSolverMultistepScheduler"),
    dict(name="img2img_heun", strength=0.5, steps=10, scheduler="heun", class_name="HeunDiscreteScheduler"),
    dict(name="img2img_ancestral", strength=0.7, steps=10, scheduler="euler_ancestral",
         class_name="EulerAncestralDiscreteScheduler"),
    dict(name="img2img_full", strength=1.0, steps=5, scheduler="euler", class_name="EulerDiscreteScheduler"),
]


def picture():
    """Smooth colours and some edges, 80×72."""
    y, x = np.mgrid[0:72, 0:80]
    rgb = np.stack([128 + 100 * np.sin(x / 9), 128 + 100 * np.cos(y / 7), (x * 3 + y * 2) % 256], -1)
    rgb[20:40, 30:60] = (250, 40, 20)
    return Image.fromarray(rgb.clip(0, 255).astype(np.uint8))


def run(parts, case, tensors, image=None):
    c = {**BASE, **case}
    scheduler = parts["scheduler"]
    if "class_name" in c:
        scheduler = getattr(diffusers, c["class_name"]).from_config(scheduler.config, **c.get("config", {}))
    cls = StableDiffusionImg2ImgPipeline if image else StableDiffusionPipeline
    pipe = cls(**{**parts, "scheduler": scheduler}, tokenizer=TOKENIZER, safety_checker=None, feature_extractor=None,
               requires_safety_checker=False)
    pipe.set_progress_bar_config(disable=True)
    seeds = [c["seed"] + i for i in range(c["count"])]
    n = c["count"]
    extra = dict(image=image.resize((c["width"], c["height"]), Image.LANCZOS), strength=c["strength"]) if image else dict(
        width=c["width"], height=c["height"])
    if c.get("clip_skip"):
        extra["clip_skip"] = c["clip_skip"]
    latents = pipe([c["prompt"]] * n, negative_prompt=[c["negative_prompt"]] * n, num_inference_steps=c["steps"],
                   guidance_scale=c["guidance_scale"], eta=c.get("eta", 0.0), output_type="latent",
                   generator=[torch.Generator().manual_seed(s) for s in seeds], **extra).images
    tensors[c["name"]] = latents.float().contiguous()
    return c, pipe, latents


@torch.no_grad()
def main():
    torch.set_num_threads(1)
    os.makedirs(OUT, exist_ok=True)
    parts = tiny_model.make()
    cases, tensors = [], {}
    for case in CASES:
        c, pipe, latents = run(parts, case, tensors)
        cases.append(c)
        if c["name"] == "own_scheduler":
            pixels = pipe.vae.decode(latents / pipe.vae.config.scaling_factor).sample
            tensors["own_scheduler.pixels"] = pixels
            tensors["own_scheduler.image"] = torch.from_numpy(np.array(pipe.image_processor.postprocess(
                pixels, output_type="pil")[0])).contiguous()
    image = picture()
    image.save(os.path.join(OUT, "init.png"))
    for case in IMG2IMG:
        c = dict(width=80, height=72, init_image="init.png", **case) if "width" not in case else dict(
            init_image="init.png", **case)
        cases.append(run(parts, c, tensors, image)[0])
    base, letter = tensors["scheduler_pndm"], tensors["other_letter"]
    moved = ((base - letter).norm() / base.norm()).item()
    print(f"one changed letter moves the final latents by {moved:.3f}")
    assert moved > 5e-2

    # Parts alone: what each module makes of a fixed input.
    g = torch.Generator().manual_seed(11)
    x, t = torch.randn(2, 4, 16, 16, generator=g), torch.tensor([981.0, 3.0])
    ids = TOKENIZER(["a lighthouse in fog", LONG], padding="max_length", max_length=77, truncation=True,
                    return_tensors="pt").input_ids
    states = parts["text_encoder"](ids, output_hidden_states=True)
    tensors.update({"unet.sample": x, "unet.timestep": t, "text.ids": ids, "text.last": states[0],
                    "text.hidden_2": states.hidden_states[2]})
    tensors["unet.output"] = parts["unet"](x, t, states[0]).sample
    pixels = torch.rand(2, 3, 64, 64, generator=g) * 2 - 1
    posterior = parts["vae"].encode(pixels).latent_dist
    tensors.update({"vae.pixels": pixels.half().float()})
    posterior = parts["vae"].encode(tensors["vae.pixels"]).latent_dist
    tensors.update({"vae.mean": posterior.mean, "vae.logvar": posterior.logvar,
                    "vae.decoded": parts["vae"].decode(posterior.mean).sample})
    tensors["vae.pixels"] = tensors["vae.pixels"].half()

    folder = os.path.join(OUT, "tiny_sd1")
    pipe = StableDiffusionPipeline(**parts, tokenizer=TOKENIZER, safety_checker=None, feature_extractor=None,
                                   requires_safety_checker=False)
    pipe.to(torch.float16).save_pretrained(folder)
    for name in os.listdir(os.path.join(folder, "tokenizer")):
        os.remove(os.path.join(folder, "tokenizer", name))  # the built-in vocabulary is used
    os.rmdir(os.path.join(folder, "tokenizer"))
    index = json.load(open(f"{folder}/model_index.json"))
    del index["tokenizer"]
    json.dump(index, open(f"{folder}/model_index.json", "w"), indent=2)
    metadata = {"made_by": "tools/goldens/pipelines.py", "diffusers": diffusers.__version__, "torch": torch.__version__}
    save_file({k: v.contiguous() for k, v in tensors.items()}, f"{OUT}/pipelines.safetensors", metadata)
    json.dump(cases, open(f"{OUT}/pipelines.json", "w"), indent=1, ensure_ascii=False)


main()
