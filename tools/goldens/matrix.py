# SPDX-License-Identifier: Apache-2.0
"""Writes tests/goldens/families/matrix.{json,safetensors}: every sampler on the tiny models sd1, sd2 and sdxl, from text, from
a picture and repainting, by diffusers' pipelines where it has the class, else by k-diffusion's sampler (or, for those marked
"paper", by the reference in kdiffusion.py) on the U-Net of diffusers.

usage: matrix.py REPOSITORY
"""
import json
import os
import sys
import warnings

import diffusers
import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file

warnings.filterwarnings("ignore")
ROOT = os.path.join(sys.argv[1], "tests", "goldens", "families")
import kdiffusion
from guided_unet import Denoiser, Keeper
from kdiffusion_sampling import S, SCHEDULES

STEPS, SCALE, SEED, PROMPT, NEGATIVE = 5, 5.0, 7, "a lighthouse in fog", "blurry"
CLASSES = {"ddim": "DDIM", "ddpm": "DDPM", "pndm": "PNDM", "euler": "EulerDiscrete", "euler_ancestral": "EulerAncestralDiscrete",
           "heun": "HeunDiscrete", "lms": "LMSDiscrete", "dpmpp_2m": "DPMSolverMultistep", "unipc": "UniPCMultistep",
           "deis": "DEISMultistep", "lcm": "LCM", "tcd": "TCD"}
OF_PAPERS = {"restart", "k_lcm", "euler_cfg_pp", "euler_ancestral_cfg_pp", "dpmpp_2m_cfg_pp", "dpmpp_2s_ancestral_cfg_pp"}
FAMILIES = {"sd1": ("StableDiffusion", "epsilon"), "sd2": ("StableDiffusion", "v_prediction"),
            "sdxl": ("StableDiffusionXL", "epsilon")}
MODES = {"text to image": ("", {}, {}),
         "image to image": ("Img2Img", dict(strength=0.6), dict(init_image="init.png")),
         "inpainting": ("Inpaint", dict(strength=0.7), dict(init_image="init.png", mask="mask.png"))}
# Other families, with some of the samplers: pipeline, mode, samplers.
OTHERS = {"ssd": ("StableDiffusionXL", "text to image", ["deis", "euler_ancestral", "dpmpp_2m", "unipc", "lcm"]),
          "koala": ("StableDiffusionXL", "text to image", ["deis", "euler_ancestral", "dpmpp_2m", "unipc", "lcm"]),
          "sdxl_refiner": ("StableDiffusionXLImg2Img", "image to image", ["ddim", "euler_ancestral", "dpmpp_2m", "unipc", "lcm"]),
          "inpaint": ("StableDiffusionInpaint", "inpainting", ["euler", "euler_ancestral", "dpmpp_2m", "unipc", "heun"]),
          "instruct_pix2pix": ("StableDiffusionInstructPix2Pix", "image to image",
                               ["euler", "euler_ancestral", "dpmpp_2m", "unipc", "pndm"])}
# XL's tiny models amplify rounding from a picture: at a guidance of 5, a change of 1e-6 in the weights moves diffusers' own result of
# Heun by 8e-4, of PNDM by 1e-3; at 2 by 1e-5 and 4e-5. Of the refiner, DDIM by 3e-4 and 9e-5.
SCALES = {("sdxl", "image to image"): 2.0, ("sdxl_refiner", "image to image"): 2.0}
tensors, cases = {}, []


def scale_of(family, mode):
    return SCALES.get((family, mode), SCALE)


def picture(name):
    return Image.open(f"{ROOT}/{name}").convert("RGB")


def add(family, sampler, mode, reference, latents, **request):
    name = f"{family}/{sampler}/{mode}"
    if not torch.isfinite(latents).all():
        print("left out, not finite:", name)
        return
    tensors[name] = latents.float().contiguous()
    cases.append(dict(family=family, sampler=sampler, mode=mode, reference=reference, request=dict(
        prompt=PROMPT, negative_prompt=NEGATIVE, guidance_scale=scale_of(family, mode), seed=SEED, width=64, height=64, steps=STEPS,
        scheduler=sampler, model=family, **request)))


def of_diffusers(family, kind):
    base = getattr(diffusers, f"{kind}Pipeline").from_pretrained(f"{ROOT}/{family}", torch_dtype=torch.float32)
    for mode, (suffix, settings, files) in MODES.items():
        own = {} if "XL" in kind else dict(requires_safety_checker=False)
        pipeline = getattr(diffusers, f"{kind}{suffix}Pipeline")(**base.components, **own)
        pipeline.set_progress_bar_config(disable=True)
        config = base.scheduler.config
        more = dict(width=64, height=64) if suffix != "Img2Img" else {}
        if suffix:
            more["image"] = picture("init.png")
        if suffix == "Inpaint":
            more["mask_image"] = picture("mask.png").convert("L")
        for sampler, name in CLASSES.items():
            pipeline.scheduler = getattr(diffusers, f"{name}Scheduler").from_config(config)
            generator = [torch.Generator().manual_seed(SEED)]
            made = pipeline(prompt=[PROMPT], negative_prompt=[NEGATIVE], guidance_scale=scale_of(family, mode), output_type="latent",
                            num_inference_steps=STEPS, generator=generator, **settings, **more).images
            add(family, sampler, mode, "diffusers", made, **settings, **files)


def of_others():
    for family, (kind, mode, samplers) in OTHERS.items():
        _, settings, files = MODES[mode]
        own = {} if "XL" in kind else dict(requires_safety_checker=False)
        opener = kind if "XL" in kind else "StableDiffusion"  # which asks for no more than the folders say
        parts = getattr(diffusers, f"{opener}Pipeline").from_pretrained(f"{ROOT}/{family}", torch_dtype=torch.float32).components
        if "Pix2Pix" in kind:
            settings = {}
        more_parts = dict(requires_aesthetics_score=True, force_zeros_for_empty_prompt=False) if "refiner" in family else {}
        pipeline = getattr(diffusers, f"{kind}Pipeline")(**parts, **own, **more_parts)
        pipeline.set_progress_bar_config(disable=True)
        more = dict(width=64, height=64) if mode != "image to image" else {}
        if files:
            more["image"] = picture("init.png")
        if "mask" in files:
            more["mask_image"] = picture("mask.png").convert("L")
        config = pipeline.scheduler.config
        for sampler in samplers:
            pipeline.scheduler = getattr(diffusers, f"{CLASSES[sampler]}Scheduler").from_config(config)
            made = pipeline(prompt=[PROMPT], negative_prompt=[NEGATIVE], guidance_scale=scale_of(family, mode), output_type="latent",
                            num_inference_steps=STEPS, generator=[torch.Generator().manual_seed(SEED)], **settings, **more).images
            add(family, sampler, mode, "diffusers", made, **settings, **files)


def latents_of(pipeline, name, generator):
    """A picture as the pipelines' encoder has it: drawn from its distribution."""
    pixels = torch.from_numpy(np.array(picture(name))).permute(2, 0, 1)[None] / 255 * 2 - 1
    posterior = pipeline.vae.encode(pixels).latent_dist
    return posterior.sample(generator) * pipeline.vae.config.scaling_factor


def mask():
    """Of the latents: nearest neighbours."""
    whole = torch.from_numpy(np.array(picture("mask.png").convert("L")))[None, None] / 255
    return (torch.nn.functional.interpolate(whole, size=(8, 8)) >= 0.5).float()


def of_kdiffusion(family, kind, prediction):
    """From a picture: the last steps of the schedule, as many as diffusers' pipelines do; repainting as they do, too."""
    pipeline = getattr(diffusers, f"{kind}Pipeline").from_pretrained(f"{ROOT}/{family}", torch_dtype=torch.float32)
    for mode, (_, settings, files) in MODES.items():
        for sampler, (run, noise_kind) in kdiffusion.SAMPLERS.items():
            # dpm_adaptive: 1e-7 more in the noise moves what k-diffusion itself ends in by 0.05. kdiffusion.py has its steps.
            if sampler in CLASSES or sampler == "dpm_adaptive":
                continue
            generator = torch.Generator().manual_seed(SEED)
            whole = SCHEDULES["karras"](STEPS)
            sigmas = whole[STEPS - int(STEPS * settings.get("strength", 1.0)):]
            clean = latents_of(pipeline, "init.png", generator) if files else torch.zeros(1, 4, 8, 8)
            fresh = torch.randn((1, 4, 8, 8), generator=generator)
            x = clean + fresh * sigmas[0]
            denoiser = Denoiser(pipeline, PROMPT, NEGATIVE, scale_of(family, mode), prediction)
            if "mask" in files:
                torch.randn(x.shape, generator=generator)  # the pipelines encode the picture under the mask as well
                denoiser = Keeper(denoiser, mask(), clean, fresh)
            noise = None
            if noise_kind == kdiffusion.BROWNIAN:
                noise = S.BrownianTreeNoiseSampler(x, whole[whole > 0].min(), whole.max(), seed=[SEED])
            elif noise_kind == kdiffusion.INDEPENDENT:
                noise = lambda a, b: torch.randn(x.shape, generator=generator)
            made = run(denoiser, x, sigmas, noise)
            made = denoiser.finished(made) if "mask" in files else made
            add(family, sampler, mode, "paper" if sampler in OF_PAPERS else "k-diffusion", made, schedule="k_karras", **settings,
                **files)


@torch.no_grad()
def main():
    torch.set_num_threads(1)
    for family, (kind, prediction) in FAMILIES.items():
        of_diffusers(family, kind)
        of_kdiffusion(family, kind, prediction)
    of_others()
    save_file(tensors, f"{ROOT}/matrix.safetensors", {"made_by": "tools/goldens/matrix.py", "torch": torch.__version__})
    json.dump(cases, open(f"{ROOT}/matrix.json", "w"), indent=1)
    print(f"{len(cases)} cases")


main()
