# SPDX-License-Identifier: Apache-2.0
"""Writes tests/goldens/families/variants.{json,safetensors}: Stable Diffusion XL's relatives as changes of the tiny model sdxl,
so that no weights are stored for them.

models: what is changed: the scheduler's configuration, the VAE's, and the U-Net's input channels. Its first convolution then
has, after its own four channels, those of widened(). Runs are those of diffusers' pipelines, or, with "levels" in their name,
of k-diffusion's samplers on the same U-Net.

usage: variants.py REPOSITORY
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
import kdiffusion
from guided_unet import Denoiser
from kdiffusion_sampling import S, SCHEDULES

ROOT = os.path.join(sys.argv[1], "tests", "goldens", "families")
SEED, SCALE, LOW_SCALE, STEPS, PROMPT, NEGATIVE = 7, 5.0, 2.0, 5, "a lighthouse in fog", "blurry"
COSXL = dict(_class_name="EDMEulerScheduler", prediction_type="v_prediction", sigma_data=1.0, sigma_min=0.002, sigma_max=120.0,
             sigma_schedule="exponential")
PLAYGROUND = dict(_class_name="EDMDPMSolverMultistepScheduler", sigma_data=0.5, sigma_min=0.002, sigma_max=80.0, rho=7.0,
                  algorithm_type="dpmsolver++", solver_order=2, solver_type="midpoint", lower_order_final=True,
                  prediction_type="epsilon", final_sigmas_type="zero")
BETAS = dict(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", num_train_timesteps=1000)
ZERO_SNR = dict(_class_name="EulerDiscreteScheduler", **BETAS, prediction_type="v_prediction", rescale_betas_zero_snr=True,
                timestep_spacing="trailing", steps_offset=1, clip_sample=False)
MODELS = {
    "cosxl": dict(scheduler=COSXL),
    "playground": dict(scheduler=PLAYGROUND, vae=dict(latents_mean=[-1.6574, 1.886, -1.383, 2.5155],
                                                      latents_std=[8.4927, 5.9022, 6.5498, 5.2299], scaling_factor=0.5)),
    "sdxl_v": dict(scheduler=ZERO_SNR),
    "sdxl_inpaint": dict(channels=9),
    "sdxl_edit": dict(channels=8),
    "cosxl_edit": dict(scheduler=COSXL, channels=8),
}
tensors, cases = {}, []


def widened(weight, channels):
    """conv_in for more channels: the four reversed at half weight, then the first at a quarter. Exact in float16."""
    return torch.cat([weight, weight.flip(1) * 0.5, weight[:, :1] * 0.25], 1)[:, :channels].contiguous()


def opened(name):
    change = MODELS.get(name, {})
    pipeline = diffusers.StableDiffusionXLPipeline.from_pretrained(f"{ROOT}/sdxl", torch_dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    parts = dict(pipeline.components)
    if "scheduler" in change:
        config = change["scheduler"]
        parts["scheduler"] = getattr(diffusers, config["_class_name"]).from_config(config)
    if "vae" in change:
        parts["vae"].register_to_config(**change["vae"])
    if "channels" in change:
        unet, channels = parts["unet"], change["channels"]
        wide = torch.nn.Conv2d(channels, unet.conv_in.out_channels, 3, padding=1)
        wide.weight.data, wide.bias.data = widened(unet.conv_in.weight.data, channels), unet.conv_in.bias.data
        unet.conv_in = wide
        unet.register_to_config(in_channels=channels)
    return parts


def picture(name, kind):
    return Image.open(f"{ROOT}/{name}").convert(kind)


def add(name, model, latents, **request):
    assert torch.isfinite(latents).all(), name
    tensors[name] = latents.float().contiguous()
    cases.append({**dict(name=name, model=model, prompt=PROMPT, negative_prompt=NEGATIVE, guidance_scale=SCALE, seed=SEED,
                         width=64, height=64, **({} if "sigmas" in request else dict(steps=STEPS))), **request})
    print(f"{name}: std {latents.std():.3f}")


def run(name, model, pipeline_class, parts, files={}, scheduler=None, scale=SCALE, **settings):
    if "InstructPix2Pix" in pipeline_class:  # knows no picture encoder; of CosXL's it must be told
        parts = {k: v for k, v in parts.items() if k not in ("image_encoder", "feature_extractor")}
        parts["is_cosxl_edit"] = model == "cosxl_edit"
    pipeline = getattr(diffusers, pipeline_class)(**parts)
    pipeline.set_progress_bar_config(disable=True)
    if scheduler:
        pipeline.scheduler = getattr(diffusers, scheduler[1]).from_config(pipeline.scheduler.config)
    more = {key: picture(file, "L" if key == "mask" else "RGB") for key, file in files.items()}
    renamed = {{"init_image": "image", "mask": "mask_image"}[key]: value for key, value in more.items()}
    if "Img2Img" not in pipeline_class:
        renamed.update(width=64, height=64)
    made = pipeline(prompt=[PROMPT], negative_prompt=[NEGATIVE], guidance_scale=scale, num_inference_steps=STEPS,
                    output_type="latent", generator=[torch.Generator().manual_seed(SEED)], **settings, **renamed).images
    chosen = dict(scheduler=scheduler[0]) if scheduler else {}
    add(name, model, made, guidance_scale=scale, **chosen, **files, **settings)


def log_spaced(low, high):
    """The 1000 levels that ComfyUI has in the place of a training's."""
    return torch.linspace(torch.tensor(low).log(), torch.tensor(high).log(), 1000).exp()


def simple(table, n):
    return torch.stack([table[-(1 + int(i * 1000 / n))] for i in range(n)] + [torch.tensor(0.0)])


def normal(table, n):
    return torch.cat([torch.linspace(table[-1].log(), table[0].log(), n).exp(), torch.zeros(1)])


def of_levels(name, model, parts, prediction, sigma_data, sampler, levels, guides=lambda call, sigma: True, **request):
    pipeline = diffusers.StableDiffusionXLPipeline(**parts)
    go, kind = kdiffusion.SAMPLERS[sampler]
    generator = torch.Generator().manual_seed(SEED)
    spread = levels[0] if "schedule" in request and not sigma_data else (levels[0]**2 + 1)**0.5
    x = torch.randn((1, 4, 8, 8), generator=generator) * spread
    noise = None
    if kind == kdiffusion.BROWNIAN:
        noise = S.BrownianTreeNoiseSampler(x, levels[levels > 0].min(), levels.max(), seed=[SEED])
    elif kind == kdiffusion.INDEPENDENT:
        noise = lambda a, b: torch.randn(x.shape, generator=generator)
    made = go(Denoiser(pipeline, PROMPT, NEGATIVE, LOW_SCALE, prediction, sigma_data, guides), x, levels, noise)
    add(f"{model}_levels_{name}", model, made, scheduler=sampler, guidance_scale=LOW_SCALE, **request)


@torch.no_grad()
def main():
    torch.set_num_threads(1)
    image, painted = dict(init_image="init.png"), dict(init_image="init.png", mask="mask.png")
    xl = "StableDiffusionXL"
    multistep = ("k_dpmpp_2m", "EDMDPMSolverMultistepScheduler")
    for model in ("cosxl", "playground"):
        parts = opened(model)
        run(model, model, f"{xl}Pipeline", parts)
        run(f"{model}_img2img", model, f"{xl}Img2ImgPipeline", parts, image, strength=0.6)
        if model == "cosxl":  # diffusers forgets the latents' mean and deviation when it encodes a picture to repaint
            run(f"{model}_inpaint", model, f"{xl}InpaintPipeline", parts, painted, strength=0.7)
    run("playground_euler", "playground", f"{xl}Pipeline", parts, scheduler=("euler_edm", "EDMEulerScheduler"))
    parts = opened("cosxl")
    run("cosxl_2m", "cosxl", f"{xl}Pipeline", parts, scheduler=multistep)
    table = log_spaced(COSXL["sigma_min"], COSXL["sigma_max"])
    karras = S.get_sigmas_karras(STEPS, COSXL["sigma_min"], COSXL["sigma_max"])
    for sampler, schedule, levels in [("euler", "simple", simple(table, STEPS)), ("k_dpmpp_2m", "normal", normal(table, STEPS)),
                                      ("heun", "simple", simple(table, STEPS)), ("dpmpp_2m_sde", "karras", karras),
                                      ("euler_ancestral", "karras", karras), ("dpmpp_2s_ancestral", "simple", simple(table, STEPS))]:
        of_levels(f"{sampler}_{schedule}", "cosxl", parts, "v_prediction", 1.0, sampler, levels, schedule=schedule)
    # Lists of levels, whose runs start at √(σ² + 1) as those of the model's own grid; and guidance that comes and goes.
    parts, given = opened("sdxl"), [14.6, 6.3, 2.0, 0.8, 0.2]
    run("sdxl_sigmas", "sdxl", f"{xl}Pipeline", parts, sigmas=[*given, 0.0])
    for sampler in ("k_dpmpp_2m", "dpm2", "dpmpp_3m_sde"):
        of_levels(f"list_{sampler}", "sdxl", parts, "epsilon", None, sampler, torch.tensor([*given, 0.0]), sigmas=given)
    grid = SCHEDULES["karras"](6)
    share = lambda call, low, high: low <= call / 6 <= high
    for name, guides, request in [
            ("interval", lambda call, sigma: share(call, 0.2, 0.7), dict(guidance_start=0.2, guidance_end=0.7)),
            ("skipping", lambda call, sigma: not (call % 2 and sigma < 3), dict(skip_unconditional=3.0)),
            ("interval_skipping", lambda call, sigma: share(call, 0.1, 0.8) and not (call % 2 and sigma < 0.5),
             dict(guidance_start=0.1, guidance_end=0.8, skip_unconditional=0.5))]:
        of_levels(f"guidance_{name}", "sdxl", parts, "epsilon", None, "euler", grid, guides, schedule="k_karras", steps=6,
                  **request)
    parts = opened("sdxl_v")
    # Weights that were not made for v amplify rounding: less so at a low scale.
    low = dict(scale=LOW_SCALE)
    run("sdxl_v", "sdxl_v", f"{xl}Pipeline", parts, **low)
    run("sdxl_v_img2img", "sdxl_v", f"{xl}Img2ImgPipeline", parts, image, strength=0.6, **low)
    for name, kind in [("ddim", "DDIM"), ("euler_ancestral", "EulerAncestralDiscrete"), ("dpmpp_2m", "DPMSolverMultistep"),
                       ("unipc", "UniPCMultistep")]:
        run(f"sdxl_v_{name}", "sdxl_v", f"{xl}Pipeline", parts, scheduler=(name, f"{kind}Scheduler"), **low)
    run("sdxl_v_rescaled", "sdxl_v", f"{xl}Pipeline", parts, guidance_rescale=0.7, **low)
    parts = opened("sdxl_inpaint")
    run("sdxl_inpaint_9", "sdxl_inpaint", f"{xl}InpaintPipeline", parts, painted, strength=1.0)
    run("sdxl_inpaint_9_part", "sdxl_inpaint", f"{xl}InpaintPipeline", parts, painted, strength=0.6)
    for model in ("sdxl_edit", "cosxl_edit"):
        run(model, model, f"{xl}InstructPix2PixPipeline", opened(model), image, image_guidance_scale=1.3)
    about = {"made_by": "tools/goldens/variants.py", "diffusers": diffusers.__version__, "torch": torch.__version__}
    save_file(tensors, f"{ROOT}/variants.safetensors", about)
    json.dump(dict(models=MODELS, cases=cases), open(f"{ROOT}/variants.json", "w"), indent=1)


main()
