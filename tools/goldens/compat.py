# SPDX-License-Identifier: Apache-2.0
"""Writes tests/goldens/families/compat.{json,safetensors}: runs as A1111 and ComfyUI do them, on the tiny model sd1.

Neither program is on PyPI. The runs are put together here from k-diffusion's samplers, torchsde's trees and the U-Net of
diffusers after descriptions of what the programs do; the prompts' weights and schedules are written out by hand.

usage: compat.py REPOSITORY
"""
import json
import os
import sys

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from PIL import Image
from safetensors.torch import save_file
from transformers import CLIPTextModel, CLIPTokenizer

sys.argv, root = sys.argv[:1], sys.argv[1]
import numpy as np
import kdiffusion_sampling
from kdiffusion import slerp

S = kdiffusion_sampling.S
ROOT = os.path.join(root, "tests", "goldens", "families")
unet = UNet2DConditionModel.from_pretrained(f"{ROOT}/sd1/unet", torch_dtype=torch.float32).eval()
text = CLIPTextModel.from_pretrained(f"{ROOT}/sd1/text_encoder", torch_dtype=torch.float32).eval()
vae = AutoencoderKL.from_pretrained(os.path.join(root, "tests", "goldens", "tiny_sd1", "vae"), torch_dtype=torch.float32).eval()
tokenizer = CLIPTokenizer.from_pretrained(f"{ROOT}/tokenizer_pads_with_zero")
TABLE, LOGS = kdiffusion_sampling.TABLE, kdiffusion_sampling.LOGS
START, END, PAD = 512, 513, tokenizer.pad_token_id
model = getattr(text, "text_model", text)


def ids_of(part):
    return tokenizer(part, add_special_tokens=False).input_ids


def states(rows, skip=0):
    out = text(torch.tensor(rows), output_hidden_states=True)
    return model.final_layer_norm(out.hidden_states[-(1 + skip)])


def chunk(ids):
    return ([START] + ids + [END] + [PAD] * 77)[:77]


def a1111(parts, skip=0, original=True):
    """parts: lists of (text, weight), one a chunk, as the caller has split them."""
    out = []
    for pieces in parts:
        ids, weights = [], []
        for piece, weight in pieces:
            own = ids_of(piece)
            ids, weights = ids + own, weights + [weight] * len(own)
        z = states([chunk(ids)], skip)
        changed = z * torch.tensor(([1.0] + weights + [1.0] * 77)[:77]).view(1, 77, 1)
        out.append(changed * (z.mean() / changed.mean()) if original else changed)
    return torch.cat(out, 1)


def a1111_schedule(texts):
    """The texts of one prompt's schedule, a chunk each: the mean that is kept is that of all."""
    made, changed = [], []
    for pieces in texts:
        ids, weights = [], []
        for piece, weight in pieces:
            own = ids_of(piece)
            ids, weights = ids + own, weights + [weight] * len(own)
        made.append(states([chunk(ids)]))
        changed.append(made[-1] * torch.tensor(([1.0] + weights + [1.0] * 77)[:77]).view(1, 77, 1))
    scale = torch.cat(made).mean() / torch.cat(changed).mean()
    return [c * scale for c in changed]


def comfy(pieces):
    ids, weights = [], []
    for piece, weight in pieces:
        own = [i for word in piece.split(" ") if word for i in ids_of(word)]
        ids, weights = ids + own, weights + [weight] * len(own)
    z, empty = states([chunk(ids)]), states([chunk([])])
    w = torch.tensor(([1.0] + weights + [1.0] * 77)[:77]).view(1, 77, 1)
    return empty + (z - empty) * w


def sigma_to_t(sigma):
    distances = sigma.log() - LOGS
    low = int((distances >= 0).cumsum(0).argmax().clip(max=len(LOGS) - 2))
    w = ((LOGS[low] - sigma.log()) / (LOGS[low] - LOGS[low + 1])).clip(0, 1)
    return (1 - w) * low + w * (low + 1)


class Denoiser:
    """conditions: a list a call of [(condition, weight)], and the negative one; mask: 1 where the picture is made anew."""

    def __init__(self, conditions, negative, scale, mask=None, clean=None, noise=None):
        self.conditions, self.negative, self.scale, self.call = conditions, negative, scale, 0
        self.mask, self.clean, self.noise = mask, clean, noise

    def eps(self, x, sigma, condition):
        x_in = x / (sigma**2 + 1)**0.5
        return unet(x_in, sigma_to_t(sigma).reshape(1).expand(x.shape[0]), condition.expand(x.shape[0], -1, -1)).sample

    def __call__(self, x, sigma, **_):
        sigma = sigma.flatten()[0]
        if self.noise is not None:  # ComfyUI: the model sees the picture, noised, where it is kept
            x = x * self.mask + (self.clean + self.noise * sigma) * (1 - self.mask)
        negative = self.eps(x, sigma, self.negative)
        guided = negative
        for condition, weight in self.conditions(self.call):
            guided = guided + self.scale * weight * (self.eps(x, sigma, condition) - negative)
        self.call += 1
        denoised = x - sigma * guided
        return denoised if self.mask is None else denoised * self.mask + self.clean * (1 - self.mask)


def ddim(denoiser, x, steps, noise, eta=0.0, cfg_pp=False):
    """A1111's: every (1000 / steps)-th timestep from 1 on, from the last to the second; the last step ends at timestep 1."""
    alphas, stops = kdiffusion_sampling.ALPHAS, [min(t + 1, 999) for t in range(0, 1000, 1000 // steps)]
    for t, after in zip(stops[:0:-1], stops[-2::-1]):
        a, b = alphas[t], alphas[after]
        negative = unet(x, t, denoiser.negative.expand(x.shape[0], -1, -1)).sample
        (condition, _), = denoiser.conditions(0)
        guided = negative + denoiser.scale * (unet(x, t, condition.expand(x.shape[0], -1, -1)).sample - negative)
        spread = eta * ((1 - b) / (1 - a) * (1 - a / b))**0.5
        x = b**0.5 * (x - (1 - a)**0.5 * guided) / a**0.5 + (1 - b - spread**2)**0.5 * (negative if cfg_pp else guided)
        if eta > 0:
            x = x + spread * noise()
    return x


def generators(seeds):
    return [torch.Generator().manual_seed(s) for s in seeds]


def draw(gs, shape=(4, 8, 8)):
    return torch.stack([torch.randn(shape, generator=g) for g in gs])


SCHEDULES = kdiffusion_sampling.SCHEDULES
tensors, cases = {}, []


def add(name, latents, **request):
    tensors[name] = latents.float().contiguous()
    cases.append({**dict(name=name, model="sd1", width=64, height=64, guidance_scale=5.0), **request})
    print(name, f"{latents.std():.3f}")


@torch.no_grad()
def main():
    torch.set_num_threads(1)
    plain = lambda c: (lambda call: [(c, 1.0)])
    cat, blurry = a1111([[("a red cat", 1.0)]]), a1111([[("blurry", 1.0)]])
    prompts = dict(prompt="a red cat", negative_prompt="blurry", seed=7)

    sigmas = SCHEDULES["karras"](8)
    x = draw(generators([7])) * sigmas[0]
    weighted = a1111([[("a ", 1.0), ("red", 1.3 * 1.1), (" ", 1.1), ("cat", 1 / 1.1 * 1.1)]])
    run = S.sample_dpmpp_2m(Denoiser(plain(weighted), blurry, 5.0), x, sigmas, disable=True)
    add("a1111_2m_weights", run, compat="a1111", **{**prompts, "prompt": "a ((red:1.3) [cat])"}, scheduler="DPM++ 2M Karras",
        steps=8)
    skipped = a1111([[("a red cat", 1.0)]], 1), a1111([[("blurry", 1.0)]], 1)
    sigmas = SCHEDULES["normal"](6)
    gs = generators([7, 8])
    x = draw(gs) * sigmas[0]
    run = S.sample_euler_ancestral(Denoiser(plain(skipped[0]), skipped[1], 5.0), x, sigmas, disable=True,
                                   noise_sampler=lambda a, b: draw(gs))
    add("a1111_euler_a_clip_skip", run, compat="a1111", **prompts, scheduler="Euler a", steps=6, count=2, clip_skip=2)
    gs = generators([7])
    x = draw(gs) * sigmas[0]
    later = generators([7 + 31337])
    run = S.sample_euler_ancestral(Denoiser(plain(cat), blurry, 5.0), x, sigmas, disable=True,
                                   noise_sampler=lambda a, b: draw(later))
    add("a1111_ensd", run, compat="a1111", **prompts, scheduler="Euler a", steps=6, eta_noise_seed_delta=31337)
    # A variation and noise of another size come of generators of their own; each picture's own goes on after one draw.
    def varied(seeds, make, **request):
        gs = generators(seeds)
        x = make(draw(gs)) * sigmas[0]
        run = S.sample_euler_ancestral(Denoiser(plain(cat), blurry, 5.0), x, sigmas, disable=True,
                                       noise_sampler=lambda a, b: draw(gs))
        add(request.pop("name"), run, compat="a1111", **prompts, scheduler="Euler a", steps=6, **request)

    varied([7, 7], lambda x: torch.stack([slerp(0.4, x[i], draw(generators([99 + i]))[0]) for i in range(2)]),
           name="a1111_variation", count=2, variation_seed=99, variation_strength=0.4)

    def from_smaller(x):
        x = x.clone()
        x[0, :, 2:6, 1:7] = draw(generators([7]), (4, 4, 6))[0]
        return x
    varied([7], from_smaller, name="a1111_seed_resize", seed_resize=[48, 32])
    sigmas = SCHEDULES["karras"](5)
    x = draw(generators([7])) * sigmas[0]
    noise = S.BrownianTreeNoiseSampler(x, sigmas[sigmas > 0].min(), sigmas.max(), seed=[7])
    run = S.sample_dpmpp_sde(Denoiser(plain(cat), blurry, 5.0), x, sigmas, disable=True, noise_sampler=noise)
    add("a1111_sde", run, compat="a1111", **prompts, scheduler="DPM++ SDE", steps=5)
    # Discarded next-to-last level; two calls a step.
    sigmas = SCHEDULES["karras"](6)
    sigmas = torch.cat([sigmas[:-2], sigmas[-1:]])
    x = draw(generators([7])) * sigmas[0]
    run = S.sample_dpm_2(Denoiser(plain(cat), blurry, 5.0), x, sigmas, disable=True)
    add("a1111_dpm2", run, compat="a1111", **prompts, scheduler="DPM2", steps=5)
    # Prompt editing, alternation and AND: calls are counted from 0, the first text holds up to and including its number.
    dog, both = a1111([[("a red dog", 1.0)]]), a1111([[("a house", 1.0)]])
    sigmas = SCHEDULES["normal"](6)
    x = draw(generators([7])) * sigmas[0]
    run = S.sample_euler(Denoiser(lambda call: [(cat if call <= 2 else dog, 1.0), (both, 0.5)], blurry, 5.0), x, sigmas,
                         disable=True)
    add("a1111_editing_and", run, compat="a1111", **{**prompts, "prompt": "a red [cat:dog:2] AND a house :0.5"},
        scheduler="Euler", steps=6)
    # At guidance 1 and below composed prompts are still composed.
    x = draw(generators([7])) * sigmas[0]
    run = S.sample_euler(Denoiser(lambda call: [(cat, 1.0), (both, 0.5)], blurry, 1.0), x, sigmas, disable=True)
    add("a1111_and_unguided", run, compat="a1111", **{**prompts, "prompt": "a red cat AND a house :0.5"},
        scheduler="Euler", steps=6, guidance_scale=1.0)
    # The mean that emphasis keeps is that of all texts of a schedule.
    strong = a1111_schedule([[("a ", 1.0), ("red", 1.8), (" cat", 1.0)], [("a ", 1.0), ("red", 1.8), (" big old dog", 1.0)]])
    x = draw(generators([7])) * sigmas[0]
    run = S.sample_euler(Denoiser(lambda call: [(strong[0] if call <= 3 else strong[1], 1.0)], blurry, 5.0), x, sigmas,
                         disable=True)
    add("a1111_editing_weights", run, compat="a1111", **{**prompts, "prompt": "a (red:1.8) [cat:big old dog:3]"},
        scheduler="Euler", steps=6)
    # Two chunks: 75 tokens each, told apart by BREAK; the negative prompt has one.
    long = a1111([[("a red cat", 1.0)], [("in fog", 1.0)]])
    x = draw(generators([7])) * sigmas[0]
    run = S.sample_euler(Denoiser(plain(long), blurry, 5.0), x, sigmas, disable=True)
    add("a1111_break", run, compat="a1111", **{**prompts, "prompt": "a red cat BREAK in fog"}, scheduler="Euler", steps=6)
    # Image to image: int(min(strength, 0.999) · steps) steps and one more, from the encoder's mean.
    picture = torch.from_numpy(np.array(Image.open(f"{ROOT}/init.png").convert("RGB"))).permute(2, 0, 1)[None] / 255 * 2 - 1
    clean = vae.encode(picture).latent_dist.mean * 0.18215
    sigmas = SCHEDULES["normal"](8)
    start = 8 - int(0.6 * 8) - 1
    x = clean + draw(generators([7])) * sigmas[start]
    run = S.sample_euler(Denoiser(plain(cat), blurry, 5.0), x, sigmas[start:], disable=True)
    add("a1111_img2img", run, compat="a1111", **prompts, scheduler="Euler", steps=8, strength=0.6, init_image="init.png")

    # Timesteps and not levels; CFG++ wants scales of 0 to 1, which the web UI makes of 0 to 12.5.
    for name, steps, more in [("ddim", 6, {}), ("ddim_uneven", 7, {}), ("ddim_eta", 5, dict(eta=0.5))]:
        gs = generators([7])
        run = ddim(Denoiser(plain(cat), blurry, 5.0), draw(gs), steps, lambda: draw(gs), **more)
        add(f"a1111_{name}", run, compat="a1111", **prompts, scheduler="DDIM", steps=steps, **more)
    run = ddim(Denoiser(plain(cat), blurry, 5.0 / 12.5), draw(generators([7])), 6, None, cfg_pp=True)
    add("a1111_ddim_cfg_pp", run, compat="a1111", **prompts, scheduler="DDIM CFG++", steps=6)
    # Another share of fresh noise.
    for name, sampler, kind in [("Euler a", S.sample_euler_ancestral, "normal"), ("DPM++ 2S a", S.sample_dpmpp_2s_ancestral, "karras")]:
        sigmas = SCHEDULES[kind](6)
        gs = generators([7])
        x = draw(gs) * sigmas[0]
        run = sampler(Denoiser(plain(cat), blurry, 5.0), x, sigmas, disable=True, eta=0.4, noise_sampler=lambda a, b: draw(gs))
        add(f"a1111_eta_{kind}", run, compat="a1111", **prompts, scheduler=name, steps=6, eta=0.4)

    # Repainting: the kept part is put into every clean picture. The mask fits the latents.
    latent_mask = torch.zeros(1, 1, 8, 8)
    latent_mask[..., 2:6, 3:8] = 1
    painting = dict(init_image="init.png", mask="mask.png", mask_blur=0)
    for name, sampler in [("Euler a", S.sample_euler_ancestral), ("DPM2", S.sample_dpm_2)]:
        kind = "normal" if name == "Euler a" else "karras"
        sigmas = SCHEDULES[kind](9 if name == "DPM2" else 8)
        if name == "DPM2":
            sigmas = torch.cat([sigmas[:-2], sigmas[-1:]])
        gs = generators([7])
        x = clean + draw(gs) * sigmas[start]
        more = dict(noise_sampler=lambda a, b: draw(gs)) if name == "Euler a" else {}
        run = sampler(Denoiser(plain(cat), blurry, 5.0, latent_mask, clean), x, sigmas[start:], disable=True, **more)
        add(f"a1111_inpaint_{name.replace(' ', '_')}", run, compat="a1111", **prompts, **painting, scheduler=name, steps=8,
            strength=0.6)
    # At full strength the picture is there all the same, below all that noise; with noise in its place under the mask.
    sigmas = SCHEDULES["normal"](8)
    for name, content in [("full", "original"), ("full_noise", "noise")]:
        gs = generators([7])
        first = draw(gs)
        under = clean * (1 - latent_mask) + first * latent_mask if content == "noise" else clean
        run = S.sample_euler_ancestral(Denoiser(plain(cat), blurry, 5.0, latent_mask, clean), under + first * sigmas[0], sigmas,
                                       disable=True, noise_sampler=lambda a, b: draw(gs))
        add(f"a1111_inpaint_{name}", run, compat="a1111", **prompts, **painting, scheduler="Euler a", steps=8, strength=1.0,
            masked_content=content)
    # A second, larger pass: as many steps as were asked for, its own noise of the same seed, numbers of prompt editing
    # from 6 on (steps) and from 1.0 on (shares).
    sigmas = SCHEDULES["normal"](6)
    x = draw(generators([7])) * sigmas[0]
    first = S.sample_euler(Denoiser(lambda call: [(cat if call <= 1 else dog, 1.0)], blurry, 5.0), x, sigmas, disable=True)
    large = torch.nn.functional.interpolate(first, size=(12, 12), mode="bilinear", antialias=False)
    sigmas = SCHEDULES["normal"](int(4 / 0.7))[int(4 / 0.7) - 4:]
    x = large + draw(generators([7]), (4, 12, 12)) * sigmas[0]
    second = S.sample_euler(Denoiser(plain(dog), blurry, 5.0), x, sigmas, disable=True)
    add("a1111_hires", second, compat="a1111", **{**prompts, "prompt": "a red [cat:dog:1]"}, scheduler="Euler", steps=6,
        hires_scale=1.5, hires_steps=4, hires_strength=0.7)
    whole = SCHEDULES["normal"](6)
    first = S.sample_euler(Denoiser(plain(cat), blurry, 5.0), draw(generators([7])) * whole[0], whole, disable=True)
    x = torch.nn.functional.interpolate(first, size=(12, 12), mode="bilinear") + draw(generators([7]), (4, 12, 12)) * sigmas[0]
    second = S.sample_euler(Denoiser(lambda call: [(cat if call <= 2 else dog, 1.0)], blurry, 5.0), x, sigmas, disable=True)
    add("a1111_hires_editing", second, compat="a1111", **{**prompts, "prompt": "a red [cat:dog:8]"}, scheduler="Euler", steps=6,
        hires_scale=1.5, hires_steps=4, hires_strength=0.7)
    # Shares count the steps that were asked for, not those of the schedule that they are the last of.
    half = SCHEDULES["normal"](int(6 / 0.5))[int(6 / 0.5) - 6:]
    x = torch.nn.functional.interpolate(first, size=(12, 12), mode="bilinear") + draw(generators([7]), (4, 12, 12)) * half[0]
    second = S.sample_euler(Denoiser(lambda call: [(cat if call <= 3 else dog, 1.0)], blurry, 5.0), x, half, disable=True)
    add("a1111_hires_share", second, compat="a1111", **{**prompts, "prompt": "a red [cat:dog:1.5]"}, scheduler="Euler", steps=6,
        hires_scale=1.5, hires_steps=6, hires_strength=0.5)
    # Prompt editing counts from the first step that is done.
    sigmas = SCHEDULES["normal"](8)
    x = clean + draw(generators([7])) * sigmas[start]
    run = S.sample_euler(Denoiser(lambda call: [(cat if call <= 2 else dog, 1.0)], blurry, 5.0), x, sigmas[start:], disable=True)
    add("a1111_img2img_editing", run, compat="a1111", **{**prompts, "prompt": "a red [cat:dog:2]"}, scheduler="Euler", steps=8,
        strength=0.6, init_image="init.png")

    # Before 1.6.0 a number of 1 and more was a step, with a point, too; until 1.7.0 the noise levels came of float16.
    sigmas = SCHEDULES["normal"](6)
    x = draw(generators([7])) * sigmas[0]
    run = S.sample_euler(Denoiser(lambda call: [(cat if call <= 1 else dog, 1.0)], blurry, 5.0), x, sigmas, disable=True)
    add("a1111_old_editing", run, compat="a1111", **{**prompts, "prompt": "a red [cat:dog:1.0]"}, scheduler="Euler", steps=6,
        prompt_editing="before_1.6")
    exact = kdiffusion_sampling.LOGS, globals()["LOGS"]
    alphas = kdiffusion_sampling.ALPHAS.half().float()
    kdiffusion_sampling.LOGS = globals()["LOGS"] = (((1 - alphas) / alphas)**0.5).log()
    sigmas = SCHEDULES["normal"](6)
    x = draw(generators([7])) * sigmas[0]
    run = S.sample_euler(Denoiser(plain(cat), blurry, 5.0), x, sigmas, disable=True)
    add("a1111_half_levels", run, compat="a1111", **prompts, scheduler="Euler", steps=6, noise_levels="float16")
    kdiffusion_sampling.LOGS, globals()["LOGS"] = exact
    sigmas = S.get_sigmas_karras(6, 0.1, 10.0, 5.0)
    x = draw(generators([7])) * sigmas[0]
    run = S.sample_euler(Denoiser(plain(cat), blurry, 5.0), x, sigmas, disable=True)
    add("a1111_sigma_range", run, compat="a1111", **prompts, scheduler="Euler", schedule="Karras", steps=6, sigma_min=0.1,
        sigma_max=10, rho=5)

    sigmas = SCHEDULES["karras"](6)
    strong = comfy([("a ", 1.0), ("red", 1.4), (" cat", 1.0)])
    quiet = comfy([("blurry", 1.0)])
    x = torch.randn((1, 4, 8, 8), generator=torch.Generator().manual_seed(7)) * (1 + sigmas[0]**2)**0.5
    run = S.sample_dpmpp_2m(Denoiser(plain(strong), quiet, 5.0), x, sigmas, disable=True)
    add("comfy_2m_karras", run, compat="comfy", **{**prompts, "prompt": "a (red:1.4) cat"}, scheduler="dpmpp_2m",
        schedule="karras", steps=6)
    g = torch.Generator().manual_seed(7)
    sigmas = SCHEDULES["simple"](5)
    x = torch.randn((2, 4, 8, 8), generator=torch.Generator().manual_seed(7)) * (1 + sigmas[0]**2)**0.5
    run = S.sample_euler_ancestral(Denoiser(plain(comfy([("a red cat", 1.0)])), quiet, 5.0), x, sigmas, disable=True,
                                   noise_sampler=lambda a, b: torch.randn((2, 4, 8, 8), generator=g))
    add("comfy_euler_ancestral_batch", run, compat="comfy", **prompts, scheduler="euler_ancestral", schedule="simple", steps=5,
        count=2)
    # Image to image: the last steps of a longer schedule; the noise is drawn once more for what the model sees.
    plain_cat = comfy([("a red cat", 1.0)])
    sigmas = SCHEDULES["normal"](int(5 / 0.6))[-6:]
    noise = torch.randn((1, 4, 8, 8), generator=torch.Generator().manual_seed(7))
    x = clean + noise * sigmas[0]
    comfy_image = dict(scheduler="euler", schedule="normal", steps=5, strength=0.6)
    run = S.sample_euler(Denoiser(plain(plain_cat), quiet, 5.0), x, sigmas, disable=True)
    add("comfy_img2img", run, compat="comfy", **prompts, **comfy_image, init_image="init.png")
    sde = dict(scheduler="dpmpp_2m_sde", schedule="normal", steps=5, strength=0.6)  # the tree spans what is left of the levels
    tree = S.BrownianTreeNoiseSampler(x, sigmas[sigmas > 0].min(), sigmas.max(), seed=7)
    run = S.sample_dpmpp_2m_sde(Denoiser(plain(plain_cat), quiet, 5.0), x, sigmas, disable=True, noise_sampler=tree)
    add("comfy_img2img_sde", run, compat="comfy", **prompts, **sde, init_image="init.png")
    whole = SCHEDULES["normal"](7)  # without fresh noise there
    start = noise * (1 + whole[0]**2)**0.5
    run = S.sample_dpm_fast(Denoiser(plain(plain_cat), quiet, 5.0), start, float(whole[-2]), float(whole[0]), n=7, disable=True)
    add("comfy_dpm_fast", run, compat="comfy", **prompts, scheduler="dpm_fast", schedule="normal", steps=7)
    run = S.sample_euler(Denoiser(plain(plain_cat), quiet, 5.0, latent_mask, clean, noise), x, sigmas, disable=True)
    add("comfy_inpaint", run, compat="comfy", **prompts, **comfy_image, **painting)
    # At full strength its noise is that of a run without a picture, on top of the picture.
    sigmas = SCHEDULES["normal"](5)
    full = clean + noise * (1 + sigmas[0]**2)**0.5
    comfy_image = {**comfy_image, "strength": 1.0}
    run = S.sample_euler(Denoiser(plain(plain_cat), quiet, 5.0), full, sigmas, disable=True)
    add("comfy_img2img_full", run, compat="comfy", **prompts, **comfy_image, init_image="init.png")
    run = S.sample_euler(Denoiser(plain(plain_cat), quiet, 5.0, latent_mask, clean, noise), full, sigmas, disable=True)
    add("comfy_inpaint_full", run, compat="comfy", **prompts, **comfy_image, **painting)
    save_file(tensors, f"{ROOT}/compat.safetensors", {"made_by": "tools/goldens/compat.py", "torch": torch.__version__})
    json.dump(cases, open(f"{ROOT}/compat.json", "w"), indent=1)


main()
