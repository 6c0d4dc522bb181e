# SPDX-License-Identifier: Apache-2.0
"""LoRA files that PEFT makes through diffusers, and what diffusers draws with them: tests/goldens/lora/.

a.safetensors, b.safetensors   diffusers' layout: linear layers and convolutions, U-Net and text encoder, alpha ≠ rank
a_kohya, b_kohya               the same in kohya's layout; diffusers reads both of b to the same pictures (checked here)
latents.safetensors            final latents of tiny_sd1: plain, a, b, both (a at 0.7, b at -0.5)
"""
import pathlib
import sys

import torch
from diffusers import StableDiffusionPipeline
from peft import LoraConfig, get_peft_model_state_dict
from safetensors.torch import load_file, save_file
from transformers import CLIPTokenizer

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
ROOT = pathlib.Path(__file__).resolve().parents[2]
GOLDENS, OUT = ROOT / "tests" / "goldens", ROOT / "tests" / "goldens" / "lora"


def pipeline():
    from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
    from transformers import CLIPTextModel
    model = GOLDENS / "tiny_sd1"
    return StableDiffusionPipeline(
        unet=UNet2DConditionModel.from_pretrained(model / "unet").float(), vae=AutoencoderKL.from_pretrained(model / "vae").float(),
        text_encoder=CLIPTextModel.from_pretrained(model / "text_encoder").float(),
        tokenizer=CLIPTokenizer.from_pretrained(ROOT / "data" / "embedded" / "tokenizer", model_max_length=77),
        scheduler=DDIMScheduler.from_config(DDIMScheduler.load_config(model / "scheduler")),
        safety_checker=None, feature_extractor=None, requires_safety_checker=False)


def draw(pipe):
    pipe.set_progress_bar_config(disable=True)
    return pipe("a red disc", num_inference_steps=3, guidance_scale=3.0, width=64, height=64, output_type="latent",
                generator=torch.Generator().manual_seed(4)).images


def add(pipe, name, rank, alpha, targets, seed, text):
    """A LoRA of random weights, beside those that are there."""
    g = torch.Generator().manual_seed(seed)
    models = [(pipe.unet, targets)] + ([(pipe.text_encoder, ["q_proj", "v_proj"])] if text else [])
    for model, modules in models:
        model.add_adapter(LoraConfig(r=rank, lora_alpha=alpha, target_modules=modules, init_lora_weights=False), adapter_name=name)
        for key, p in model.named_parameters():
            if ".lora_" in key and f".{name}." in key:
                p.data = torch.randn(p.shape, generator=g) * (0.6 if "lora_A" in key else 0.3) * p[0].numel() ** -0.5


def use(pipe, weights):
    """Exactly these adapters, each at its weight. (diffusers 0.42.1 cannot do it for transformers 5's text encoder.)"""
    for model in (pipe.unet, pipe.text_encoder):
        known = [name for name in weights if name in getattr(model, "peft_config", {})]
        if known:
            model.set_adapter(known)
        for module in model.modules():
            for name in getattr(module, "scaling", {}):
                config = model.peft_config[name]
                module.scaling[name] = weights.get(name, 0.0) * config.lora_alpha / config.r


def save(pipe, name):
    """As diffusers saves it."""
    parts = {part: model for part, model in (("unet", pipe.unet), ("text_encoder", pipe.text_encoder))
             if name in getattr(model, "peft_config", {})}
    layers = {f"{part}_lora_layers": get_peft_model_state_dict(model, adapter_name=name) for part, model in parts.items()}
    metadata = {f"{part}_lora_adapter_metadata": model.peft_config[name].to_dict() for part, model in parts.items()}
    StableDiffusionPipeline.save_lora_weights(OUT, weight_name=f"{name}.safetensors", **layers, **metadata)


def to_kohya(name, alpha):
    out = {}
    for key, value in load_file(OUT / f"{name}.safetensors").items():
        part, _, rest = key.partition(".")
        module, end = rest.split(".lora_A.")[0].split(".lora_B.")[0], "lora_down" if ".lora_A." in rest else "lora_up"
        if part == "text_encoder" and not module.startswith("text_model."):
            module = "text_model." + module
        prefix = ("lora_unet_" if part == "unet" else "lora_te_") + module.replace(".", "_")
        out[f"{prefix}.{end}.weight"] = value
        out[f"{prefix}.alpha"] = torch.tensor(float(alpha))
    save_file(out, OUT / f"{name}_kohya.safetensors", {"ss_network_module": "networks.lora"})


OUT.mkdir(parents=True, exist_ok=True)
plain = pipeline()
latents, pipe = {"plain": draw(plain)}, pipeline()
add(pipe, "a", 2, 3, ["to_q", "to_k", "to_v", "to_out.0", "conv1", "proj_in"], 1, text=True)
add(pipe, "b", 3, 3, ["to_q", "to_out.0", "ff.net.0.proj"], 2, text=False)
for key, weights in dict(a=dict(a=1.0), b=dict(b=1.0), both=dict(a=0.7, b=-0.5)).items():
    use(pipe, weights)
    latents[key] = draw(pipe)
for name, alpha in (("a", 3), ("b", 3)):
    save(pipe, name)
    to_kohya(name, alpha)
distance = lambda x, y: float((x - y).norm() / y.norm())
for file in ("b", "b_kohya"):  # the way users take
    plain.load_lora_weights(OUT, weight_name=f"{file}.safetensors", adapter_name=file)
    plain.set_adapters([file], [1.0])
    assert distance(draw(plain), latents["b"]) < 1e-6, file
    plain.unload_lora_weights()
assert torch.equal(draw(plain), latents["plain"])
print({key: distance(value, latents["plain"]) for key, value in latents.items()})
save_file({k: v.contiguous() for k, v in latents.items()}, OUT / "latents.safetensors")
