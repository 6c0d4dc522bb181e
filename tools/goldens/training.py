# SPDX-License-Identifier: Apache-2.0
"""One training step of each task in PyTorch, diffusers and PEFT: tests/goldens/training/.

model/                a micro model in diffusers' layout
steps.json            {"cases": [{"name", "task", "settings"}]}
steps.safetensors     tensors CASE/KEY: inputs (latents, noise, timesteps or sigmas, input_ids, offset, lora.PART.MODULE.down/.up,
                      word; pixels, discriminator.NAME), and what must come out (loss, grad.PART.PARAMETER, adaptive,
                      discriminator_loss)
optimizers.json, .safetensors   parameters after each of six steps; moving averages; learning-rate factors
"""
import json
import pathlib
import sys

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL, DDPMScheduler, UNet2DConditionModel
from diffusers.optimization import get_scheduler
from diffusers.training_utils import EMAModel, compute_snr
from peft import LoraConfig
from safetensors.torch import save_file
from transformers import Adafactor, CLIPTextConfig, CLIPTextModel

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from tiny_model import perturb, round_to_half

OUT = pathlib.Path(__file__).resolve().parents[2] / "tests" / "goldens" / "training"
tensors, cases = {}, []


def unet():
    model = UNet2DConditionModel(sample_size=8, block_out_channels=(8, 16), layers_per_block=1, cross_attention_dim=16,
                                 attention_head_dim=2, norm_num_groups=4, down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
                                 up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"))
    perturb(model, 1, [("attn2.to_q", 3), ("attn2.to_out", 2), ("attn1.to_q", 2)])
    return round_to_half(model)


def vae():
    model = AutoencoderKL(block_out_channels=(8, 16), layers_per_block=1, latent_channels=4, norm_num_groups=4, sample_size=16,
                          down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2)
    perturb(model, 3)
    return round_to_half(model)


def text_encoder():
    model = CLIPTextModel(CLIPTextConfig(vocab_size=512, hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
                                         max_position_embeddings=16, hidden_act="quick_gelu", projection_dim=16,
                                         bos_token_id=0, eos_token_id=1, pad_token_id=1))
    perturb(model, 5, [("q_proj", 2)])
    return round_to_half(model)


def scheduler(prediction="epsilon", zero_snr=False):
    return DDPMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", num_train_timesteps=1000,
                         prediction_type=prediction, rescale_betas_zero_snr=zero_snr)


def text_key(name):
    """diffusers and limn keep CLIP's outer name."""
    return name if name.startswith("text_model.") else "text_model." + name


def keep(case, **named):
    for name, tensor in named.items():
        tensors[f"{case}/{name.replace('__', '.')}"] = tensor.detach().clone().contiguous()


def keep_gradients(case, part, model, rename=lambda name: name):
    for name, p in model.named_parameters():
        if p.requires_grad:
            assert p.grad is not None, (case, name)
            tensors[f"{case}/grad.{part}.{rename(name)}"] = p.grad.detach().clone().contiguous()


def inputs(seed):
    g = torch.Generator().manual_seed(seed)
    return (torch.randn(4, 4, 8, 8, generator=g), torch.randn(4, 4, 8, 8, generator=g),
            torch.tensor([10, 333, 640, 990]), torch.randint(2, 510, (4, 16), generator=g), g)


def weights_for(settings, scheduler_, timesteps):
    """Weights as the published training scripts compute them."""
    snr = compute_snr(scheduler_, timesteps)
    kind, prediction = settings.get("weighting", "none"), settings["prediction"]
    if kind == "min_snr":
        capped = torch.minimum(snr, torch.full_like(snr, settings["snr_gamma"]))
        return capped / snr if prediction == "epsilon" else capped / (snr + 1)
    if kind == "p2":
        return 1 / (settings["p2_k"] + snr) ** settings["p2_gamma"]
    if kind == "debiased":
        return 1 / torch.sqrt(torch.minimum(snr, torch.full_like(snr, 1000)))
    return torch.ones_like(snr)


def denoising_case(name, task, settings, seed, unet_, text, timesteps=None, prior=None, extra=lambda: None):
    latents, noise, t, ids, g = inputs(seed)
    t = t if timesteps is None else timesteps
    keep(name, latents=latents, noise=noise, input_ids=ids)
    if settings.get("offset_noise"):
        offset = torch.randn(4, 4, 1, 1, generator=g)
        keep(name, offset=offset)
        noise = noise + settings["offset_noise"] * offset
    s = scheduler(settings["prediction"] if settings["prediction"] != "flow" else "epsilon", settings.get("rescale_betas_zero_snr", False))
    if task == "textual_inversion":
        ids = ids.clone()
        ids[:, 3], ids[:, 4] = 510, 511
        keep(name, input_ids=ids)
    if settings["prediction"] == "flow":
        sigma = torch.tensor([0.03, 0.31, 0.64, 0.97])
        keep(name, sigmas=sigma)
        noisy = (1 - sigma.view(-1, 1, 1, 1)) * latents + sigma.view(-1, 1, 1, 1) * noise
        target, t = noise - latents, sigma * 1000
    else:
        keep(name, timesteps=t)
        noisy = s.add_noise(latents, noise, t)
        target = {"epsilon": noise, "sample": latents}.get(settings["prediction"])
        target = s.get_velocity(latents, noise, t) if target is None else target
    output = unet_(noisy, t, text(ids)[0]).sample
    each = F.mse_loss(output, target, reduction="none").mean((1, 2, 3))
    if settings["prediction"] != "flow":
        each = each * weights_for(settings, s, t)
    loss = each.mean() if prior is None else each[:2].mean() + prior * each[2:].mean()
    loss.backward()
    keep(name, loss=loss)
    cases.append(dict(name=name, task=task, settings=settings))


def full(name, task="diffusion", train_text=True, **kwargs):
    settings = dict(prediction="epsilon", train_text_encoder=train_text) | kwargs.pop("settings", {})
    u, text = unet().train(), text_encoder().train()
    text.requires_grad_(train_text)
    denoising_case(name, task, settings, len(cases), u, text, **kwargs)
    keep_gradients(name, "unet", u)
    if train_text:
        keep_gradients(name, "text_encoder", text, text_key)


def lora():
    name, u, text = "lora", unet(), text_encoder()
    u.requires_grad_(False), text.requires_grad_(False)
    conv = [n for n, m in u.named_modules() if isinstance(m, torch.nn.Conv2d) and n not in ("conv_in", "conv_out")]
    linear = [n for n, _ in u.named_modules() if n.endswith(("to_q", "to_k", "to_v", "to_out.0"))]
    u.add_adapter(LoraConfig(r=4, lora_alpha=8, target_modules=linear + conv, init_lora_weights=False))
    text.add_adapter(LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj", "k_proj", "v_proj", "out_proj"], init_lora_weights=False))
    g, trained = torch.Generator().manual_seed(77), []
    for part, model in (("unet", u), ("text_encoder", text)):
        for key, p in model.named_parameters():
            if ".lora_" not in key:
                continue
            module, end = key.split(".lora_A.")[0].split(".lora_B.")[0], "down" if ".lora_A." in key else "up"
            module = module if part == "unet" else text_key(module)
            with torch.no_grad():
                p.copy_(torch.randn(p.shape, generator=g) * 0.1)
            tensors[f"{name}/lora.{part}.{module}.{end}"] = p.detach().clone()
            trained.append((f"{name}/grad.{part}.{module}.{end}", p))
    denoising_case(name, "lora", dict(prediction="epsilon", train_text_encoder=True), 40, u, text)
    for key, p in trained:
        tensors[key] = p.grad.detach().clone().contiguous()


def textual_inversion():
    name, u, text = "textual_inversion", unet(), text_encoder()
    u.requires_grad_(False), text.requires_grad_(False)
    table = text.get_input_embeddings().weight
    table.requires_grad_(True)
    keep(name, word=table[510:512])
    denoising_case(name, name, dict(prediction="epsilon"), 50, u, text)
    keep(name, grad__word=table.grad[510:512])


def distillation():
    """Latent consistency distillation as diffusers' train_lcm_distill_sd_wds.py computes it, with one guidance scale and the student
    itself as the target network."""
    name, steps, w = "distillation", 50, 4.0
    settings = dict(prediction="v_prediction", train_text_encoder=False, rescale_betas_zero_snr=True, distillation_steps=steps, distillation_guidance=w)
    student, teacher, text = unet().train(), unet(), text_encoder()
    latents, noise, t, ids, _ = inputs(70)
    t = torch.tensor([3, 333, 640, 999])
    keep(name, latents=latents, noise=noise, input_ids=ids, timesteps=t)
    s = scheduler("v_prediction", True)
    alphas = s.alphas_cumprod
    ddim = torch.arange(1, steps + 1) * (1000 // steps) - 1
    index = (t // (1000 // steps)).clamp(max=steps - 1)
    start = ddim[index]
    end = torch.where(start - 1000 // steps < 0, torch.zeros_like(start), start - 1000 // steps)
    rate = lambda at: (alphas[at].sqrt().view(-1, 1, 1, 1), (1 - alphas[at]).sqrt().view(-1, 1, 1, 1))
    def boundary(at):
        scaled = (10.0 * at.double()).view(-1, 1, 1, 1)
        return (0.25 / (scaled ** 2 + 0.25)).float(), (scaled / (scaled ** 2 + 0.25) ** 0.5).float()
    def x0(v, z, at):
        a, b = rate(at)
        return a * z - b * v
    def eps(v, z, at):
        a, b = rate(at)
        return a * v + b * z
    empty_ids = torch.tensor([0] + [1] * 15)
    keep(name, empty_ids=empty_ids)
    states, empty = text(ids)[0], text(empty_ids.expand_as(ids))[0]
    z = s.add_noise(latents, noise, start)
    skip, out = boundary(start)
    said = skip * z + out * x0(student(z, start, states).sample, z, start)
    with torch.no_grad():
        c, u = teacher(z, start, states).sample, teacher(z, start, empty).sample
        picture = x0(u, z, start) + w * (x0(c, z, start) - x0(u, z, start))
        dirt = eps(u, z, start) + w * (eps(c, z, start) - eps(u, z, start))
        a, b = rate(end)
        before = a * picture + b * dirt
        skip, out = boundary(end)
        target = skip * before + out * x0(student(before, end, states).sample, before, end)
    loss = torch.mean(torch.sqrt((said - target) ** 2 + 0.001 ** 2) - 0.001)
    loss.backward()
    keep(name, loss=loss)
    keep_gradients(name, "unet", student)
    cases.append(dict(name=name, task="finetune", settings=settings))


class Discriminator(torch.nn.Module):
    def __init__(self, channels=8):
        super().__init__()
        block = lambda c, stride: torch.nn.ModuleDict(dict(conv=torch.nn.Conv2d(c, 2 * c, 4, stride, 1), norm=torch.nn.GroupNorm(4, 2 * c)))
        self.conv_in = torch.nn.Conv2d(3, channels, 4, 2, 1)
        self.blocks = torch.nn.ModuleList([block(channels, 2), block(2 * channels, 1)])
        self.conv_out = torch.nn.Conv2d(4 * channels, 1, 4, 1, 1)

    def forward(self, x):
        x = F.leaky_relu(self.conv_in(x), 0.2)
        for block in self.blocks:
            x = F.leaky_relu(block["norm"](block["conv"](x)), 0.2)
        return self.conv_out(x)


def autoencoder(name, side, adversarial):
    model, g = vae().train(), torch.Generator().manual_seed(60 + side)
    pixels = torch.rand(4, 3, side, side, generator=g) * 2 - 1
    noise = torch.randn(4, 4, side // 2, side // 2, generator=g)
    keep(name, pixels=pixels, noise=noise)
    posterior = model.encode(pixels).latent_dist
    made = model.decode(posterior.mean + posterior.std * noise).sample
    grad = lambda x: torch.cat([(x[..., 1:, :] - x[..., :-1, :]).flatten(1), (x[..., 1:] - x[..., :-1]).flatten(1)], 1)
    spectrum = lambda x: torch.fft.rfft2(x, norm="ortho").abs()
    loss = ((made - pixels).abs().mean() + 0.5 * (grad(made) - grad(pixels)).abs().mean()
            + 0.1 * (spectrum(made) - spectrum(pixels)).abs().mean() + 1e-6 * posterior.kl().mean())
    settings = dict(gradient_weight=0.5, frequency_weight=0.1, kl_weight=1e-6)
    if adversarial:
        torch.manual_seed(9)
        d = Discriminator()
        for key, p in d.named_parameters():
            tensors[f"{name}/discriminator.{key}"] = p.detach().clone()
        theirs, last = -d(made).mean(), model.decoder.conv_out.weight
        norm = lambda value: torch.autograd.grad(value, last, retain_graph=True)[0].norm()
        adaptive = (norm(loss) / (norm(theirs) + 1e-4)).clamp(0, 1e4).detach()
        loss = loss + 0.5 * adaptive * theirs
        keep(name, adaptive=adaptive)
        settings["adversarial_weight"] = 0.5
    loss.backward()
    keep(name, loss=loss)
    keep_gradients(name, "vae", model)
    if adversarial:
        d.zero_grad()
        loss = 0.5 * (F.relu(1 - d(pixels)).mean() + F.relu(1 + d(made.detach())).mean())
        loss.backward()
        keep(name, discriminator_loss=loss)
        keep_gradients(name, "discriminator", d)
    cases.append(dict(name=name, task="autoencoder", settings=settings))


def save_model():
    for part, model in (("unet", unet()), ("vae", vae()), ("text_encoder", text_encoder())):
        folder = OUT / "model" / part
        folder.mkdir(parents=True, exist_ok=True)
        rename = text_key if part == "text_encoder" else lambda name: name
        save_file({rename(k): v.half().contiguous() for k, v in model.state_dict().items()},
                  folder / ("model.safetensors" if part == "text_encoder" else "diffusion_pytorch_model.safetensors"))
        config = model.config.to_dict() if part == "text_encoder" else dict(model.config)
        config = {k: v for k, v in config.items() if k not in ("_name_or_path", "_use_default_values")}
        (folder / "config.json").write_text(json.dumps(config, indent=2, sort_keys=True, default=list) + "\n")


def optimizers():
    out, facts = {}, {}
    g = torch.Generator().manual_seed(7)
    shapes = [(7, 5), (9,), (4, 3, 3, 3)]
    start = [torch.randn(s, generator=g) for s in shapes]
    gradients = [[torch.randn(s, generator=g) for s in shapes] for _ in range(6)]
    for i, p in enumerate(start):
        out[f"start.{i}"] = p
        for step in range(6):
            out[f"gradient.{step}.{i}"] = gradients[step][i]
    makers = {"adamw": lambda p: torch.optim.AdamW(p, lr=1e-2, betas=(0.9, 0.99), weight_decay=0.01),
              "adafactor": lambda p: Adafactor(p, lr=1e-2, scale_parameter=False, relative_step=False, warmup_init=False)}
    for name, make in makers.items():
        parameters = [p.clone().requires_grad_() for p in start]
        optimizer, ema = make(parameters), EMAModel(parameters, decay=0.9999)
        for step in range(6):
            for p, gradient in zip(parameters, gradients[step]):
                p.grad = gradient.clone()
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            optimizer.step()
            ema.step(parameters)
            for i, p in enumerate(parameters):
                out[f"{name}.{step}.{i}"] = p.detach().clone()
                if name == "adamw":
                    out[f"ema.{step}.{i}"] = ema.shadow_params[i].detach().clone()
    for name in ("constant_with_warmup", "linear", "cosine"):
        optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
        schedule, factors = get_scheduler(name, optimizer, num_warmup_steps=20, num_training_steps=200), []
        for _ in range(200):
            factors.append(schedule.get_last_lr()[0])
            optimizer.step(), schedule.step()
        facts[name.removesuffix("_with_warmup")] = factors
    for sigma_rel in (0.05, 0.1):  # Karras et al. 2024, eq. 126 by numpy's polynomial roots
        t = sigma_rel ** -2
        import numpy as np
        gamma = max(np.roots([1, 7, 16 - t, 12 - t]).real)
        value, averages = 0.0, []
        for n in range(1, 21):
            beta = (1 - 1 / n) ** (gamma + 1)
            value = beta * value + (1 - beta) * float(n * n)
            averages.append(value)
        facts[f"power {sigma_rel}"] = averages
    save_file({k: v.contiguous() for k, v in out.items()}, OUT / "optimizers.safetensors")
    (OUT / "optimizers.json").write_text(json.dumps(facts) + "\n")


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    save_model()
    full("epsilon")
    full("v_prediction", settings=dict(prediction="v_prediction"))
    full("sample", settings=dict(prediction="sample"))
    full("flow", settings=dict(prediction="flow"))
    full("epsilon_min_snr", settings=dict(weighting="min_snr", snr_gamma=5.0))
    full("v_min_snr", settings=dict(prediction="v_prediction", weighting="min_snr", snr_gamma=5.0))
    full("v_zero_snr", settings=dict(prediction="v_prediction", weighting="min_snr", snr_gamma=5.0, rescale_betas_zero_snr=True),
         timesteps=torch.tensor([10, 333, 640, 999]))
    full("offset_noise", settings=dict(offset_noise=0.1))
    full("p2", settings=dict(weighting="p2", p2_k=1.0, p2_gamma=1.0))
    full("debiased", settings=dict(weighting="debiased"))
    full("frozen_text", train_text=False)
    full("dreambooth", task="dreambooth", settings=dict(prior_weight=0.7), prior=0.7)
    lora()
    textual_inversion()
    distillation()
    autoencoder("autoencoder", 16, False)
    autoencoder("autoencoder_adversarial", 32, True)
    save_file(tensors, OUT / "steps.safetensors")
    (OUT / "steps.json").write_text(json.dumps(dict(cases=cases), indent=1) + "\n")
    optimizers()
    still = [k for k, v in tensors.items() if "/grad." in k and not v.abs().max() > 0]
    print(len(cases), "cases;", "gradients of zero:", still or "none")


main()
