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
import torch
from PIL import Image
from safetensors.torch import save_file

warnings.filterwarnings("ignore")
ROOT = os.path.join(sys.argv[1], "tests", "goldens", "families")
import kdiffusion
from kdiffusion_sampling import LOGS, S, SCHEDULES

STEPS, SCALE, SEED, PROMPT, NEGATIVE = 5, 5.0, 7, "a lighthouse in fog", "blurry"
CLASSES = {"ddim": "DDIM", "ddpm": "DDPM", "pndm": "PNDM", "euler": "EulerDiscrete", "euler_ancestral": "EulerAncestralDiscrete",
           "heun": "HeunDiscrete", "lms": "LMSDiscrete", "dpmpp_2m": "DPMSolverMultistep", "unipc": "UniPCMultistep",
           "deis": "DEISMultistep", "lcm": "LCM", "tcd": "TCD"}
OF_PAPERS = {"restart", "k_lcm", "euler_cfg_pp", "euler_ancestral_cfg_pp", "dpmpp_2m_cfg_pp"}
FAMILIES = {"sd1": ("StableDiffusion", "epsilon"), "sd2": ("StableDiffusion", "v_prediction"),
            "sdxl": ("StableDiffusionXL", "epsilon")}
MODES = {"text to image": ("", {}, {}),
         "image to image": ("Img2Img", dict(strength=0.6), dict(init_image="init.png")),
         "inpainting": ("Inpaint", dict(strength=0.7), dict(init_image="init.png", mask="mask.png"))}
tensors, cases = {}, []


def picture(name):
    return Image.open(f"{ROOT}/{name}").convert("RGB")


def add(family, sampler, mode, reference, latents, **request):
    name = f"{family}/{sampler}/{mode}"
    if not torch.isfinite(latents).all():
        print("left out, not finite:", name)
        return
    tensors[name] = latents.float().contiguous()
    cases.append(dict(family=family, sampler=sampler, mode=mode, reference=reference, request=dict(
        prompt=PROMPT, negative_prompt=NEGATIVE, guidance_scale=SCALE, seed=SEED, width=64, height=64, steps=STEPS,
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
            made = pipeline(prompt=[PROMPT], negative_prompt=[NEGATIVE], guidance_scale=SCALE, output_type="latent",
                            num_inference_steps=STEPS, generator=generator, **settings, **more).images
            add(family, sampler, mode, "diffusers", made, **settings, **files)


class Denoiser:
    def __init__(self, pipeline, prediction):
        self.unet, self.prediction, self.last = pipeline.unet, prediction, None
        self.xl = hasattr(pipeline, "text_encoder_2")
        made = pipeline.encode_prompt(PROMPT, device="cpu", num_images_per_prompt=1, do_classifier_free_guidance=True,
                                      negative_prompt=NEGATIVE)
        self.states = torch.cat([made[1], made[0]])
        self.added = dict(text_embeds=torch.cat([made[3], made[2]]),
                          time_ids=torch.tensor([[64.0, 64, 0, 0, 64, 64]] * 2)) if self.xl else None

    def timestep(self, sigma):
        distances = sigma.log() - LOGS
        low = int((distances >= 0).cumsum(0).argmax().clip(max=len(LOGS) - 2))
        w = ((LOGS[low] - sigma.log()) / (LOGS[low] - LOGS[low + 1])).clip(0, 1)
        return (1 - w) * low + w * (low + 1)

    def denoised(self, x, sigma, output):
        if self.prediction == "v_prediction":
            return x / (sigma**2 + 1) - output * sigma / (sigma**2 + 1)**0.5
        return x - sigma * output

    def __call__(self, x, sigma, **_):
        sigma = torch.as_tensor(sigma).flatten()[0]
        x_in = (x / (sigma**2 + 1)**0.5).repeat(2, 1, 1, 1)
        negative, positive = self.unet(x_in, self.timestep(sigma).reshape(1).expand(2), self.states,
                                       added_cond_kwargs=self.added).sample.chunk(2)
        self.last = self.denoised(x, sigma, negative)
        return self.denoised(x, sigma, negative + SCALE * (positive - negative))

    def unconditional(self, x, sigma):
        return self.last


def of_kdiffusion(family, kind, prediction):
    pipeline = getattr(diffusers, f"{kind}Pipeline").from_pretrained(f"{ROOT}/{family}", torch_dtype=torch.float32)
    for sampler, (run, noise) in kdiffusion.SAMPLERS.items():
        # dpm_adaptive: 1e-7 more in the noise moves what k-diffusion itself ends in by 0.05. kdiffusion.py has its steps.
        if sampler in CLASSES or sampler == "dpm_adaptive":
            continue
        generator = torch.Generator().manual_seed(SEED)
        sigmas = SCHEDULES["karras"](STEPS)
        x = torch.randn((1, 4, 8, 8), generator=generator) * sigmas[0]
        if noise == kdiffusion.BROWNIAN:
            noise = S.BrownianTreeNoiseSampler(x, sigmas[sigmas > 0].min(), sigmas.max(), seed=[SEED])
        elif noise == kdiffusion.INDEPENDENT:
            noise = lambda a, b: torch.randn(x.shape, generator=generator)
        made = run(Denoiser(pipeline, prediction), x, sigmas, noise)
        add(family, sampler, "text to image", "paper" if sampler in OF_PAPERS else "k-diffusion", made, schedule="k_karras")


@torch.no_grad()
def main():
    torch.set_num_threads(1)
    for family, (kind, prediction) in FAMILIES.items():
        of_diffusers(family, kind)
        of_kdiffusion(family, kind, prediction)
    save_file(tensors, f"{ROOT}/matrix.safetensors", {"made_by": "tools/goldens/matrix.py", "torch": torch.__version__})
    json.dump(cases, open(f"{ROOT}/matrix.json", "w"), indent=1)
    print(f"{len(cases)} cases")


main()
