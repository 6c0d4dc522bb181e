# SPDX-License-Identifier: Apache-2.0
"""Names and shapes of Stable Diffusion's tensors in the LDM layout and in diffusers', for the tests of limn/models.

LDM names are listed in the order in which the LDM code base constructs its modules; their diffusers names come from
diffusers' own converters, the shapes from diffusers' and transformers' own models (on the meta device: no weights).

    python tools/goldens/keys.py        (diffusers 0.42.1, transformers 5.23, torch 2.13.0)

writes limn/models/testdata/{sd15,tiny_sd1,sdxl_unet}_keys.json.
"""

import hashlib
import json
import pathlib

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from diffusers.loaders.single_file_utils import convert_ldm_unet_checkpoint, convert_ldm_vae_checkpoint
from transformers import CLIPTextConfig, CLIPTextModel

OUT = pathlib.Path(__file__).resolve().parents[2] / "limn" / "models" / "testdata"


def res_block(prefix, skip):
    names = ["in_layers.0", "in_layers.2", "emb_layers.1", "out_layers.0", "out_layers.3"]
    return [f"{prefix}.{name}" for name in names + ["skip_connection"] * skip]


def spatial_transformer(prefix, depth):
    names = [f"{prefix}.norm", f"{prefix}.proj_in", f"{prefix}.proj_out"]
    for d in range(depth):
        block = f"{prefix}.transformer_blocks.{d}"
        names += [f"{block}.{a}.{p}" for a in ("attn1", "attn2") for p in ("to_q", "to_k", "to_v", "to_out.0")]
        names += [f"{block}.{n}" for n in ("ff.net.0.proj", "ff.net.2", "norm1", "norm2", "norm3")]
    return names


def ldm_unet_modules(channels, layers, depths, mid_depth, label_emb=False):
    """depths: transformer blocks per level, 0 for none."""
    names = ["time_embed.0", "time_embed.2", "input_blocks.0.0", "out.0", "out.2"]
    names += ["label_emb.0.0", "label_emb.0.2"] * label_emb
    stack, width, n = [channels[0]], channels[0], 1
    for level, (out, depth) in enumerate(zip(channels, depths)):
        for _ in range(layers):
            names += res_block(f"input_blocks.{n}.0", width != out)
            names += spatial_transformer(f"input_blocks.{n}.1", depth) if depth else []
            width = out
            stack.append(width)
            n += 1
        if level + 1 < len(channels):
            names.append(f"input_blocks.{n}.0.op")
            stack.append(width)
            n += 1
    names += res_block("middle_block.0", False) + res_block("middle_block.2", False)
    names += spatial_transformer("middle_block.1", mid_depth)
    n = 0
    for level in reversed(range(len(channels))):
        for layer in range(layers + 1):
            names += res_block(f"output_blocks.{n}.0", width + stack.pop() != channels[level])
            width = channels[level]
            names += spatial_transformer(f"output_blocks.{n}.1", depths[level]) if depths[level] else []
            if level and layer == layers:
                names.append(f"output_blocks.{n}.{2 if depths[level] else 1}.conv")
            n += 1
    return names


def vae_block(prefix, shortcut):
    return [f"{prefix}.{n}" for n in ["norm1", "conv1", "norm2", "conv2"] + ["nin_shortcut"] * shortcut]


def vae_middle(prefix):
    attention = [f"{prefix}.mid.attn_1.{n}" for n in ("norm", "q", "k", "v", "proj_out")]
    return vae_block(f"{prefix}.mid.block_1", False) + attention + vae_block(f"{prefix}.mid.block_2", False)


def ldm_vae_modules(channels, layers):
    names = ["quant_conv", "post_quant_conv"]
    for side in ("encoder", "decoder"):
        names += [f"{side}.{n}" for n in ("conv_in", "conv_out", "norm_out")] + vae_middle(side)
    width = channels[0]
    for level, out in enumerate(channels):
        for layer in range(layers):
            names += vae_block(f"encoder.down.{level}.block.{layer}", width != out)
            width = out
        names += [f"encoder.down.{level}.downsample.conv"] * (level + 1 < len(channels))
    for level in reversed(range(len(channels))):
        for layer in range(layers + 1):
            names += vae_block(f"decoder.up.{level}.block.{layer}", width != channels[level])
            width = channels[level]
        names += [f"decoder.up.{level}.upsample.conv"] * (level > 0)
    return names


def mapping(modules, prefix, convert, config):
    """LDM module -> diffusers module, by sending numbered tensors through diffusers' converter."""
    ranks = {m: (4 if ".attn_1." in m and not m.endswith("norm") else 1) for m in modules}
    numbered = {f"{prefix}{m}.weight": torch.empty((i + 1,) + (1,) * (ranks[m] - 1), device="meta")
                for i, m in enumerate(modules)}
    numbered |= {f"{prefix}{m}.bias": torch.empty((i + 1,), device="meta") for i, m in enumerate(modules)}
    converted = convert(numbered, config)
    assert len(converted) == len(numbered), (len(converted), len(numbered))
    return {modules[t.shape[0] - 1]: key.rsplit(".", 1)[0] for key, t in converted.items()}


def rows(ldm_to_diffusers, shapes):
    """[LDM module, diffusers module or "" for the same, shape of weight, shape of bias]; checks that none is left over."""
    left, out = dict(shapes), []
    for ldm, ours in sorted(ldm_to_diffusers.items()):
        out.append([ldm, "" if ldm == ours else ours, left.pop(f"{ours}.weight"), left.pop(f"{ours}.bias", None)])
    assert not left, sorted(left)[:5]
    return out


def shapes_of(model):
    return {key: list(t.shape) for key, t in model.state_dict().items()}


def checkpoint(unet_config, depths, vae_config, text_config):
    with torch.device("meta"):
        unet, vae = UNet2DConditionModel(**unet_config), AutoencoderKL(**vae_config)
        text = CLIPTextModel(CLIPTextConfig(**text_config))
    unet_modules = ldm_unet_modules(unet_config["block_out_channels"], unet_config["layers_per_block"], depths, 1)
    vae_modules = ldm_vae_modules(vae_config["block_out_channels"], vae_config["layers_per_block"])
    texts = {key if key.startswith("text_model.") else f"text_model.{key}": s for key, s in shapes_of(text).items()}
    same = {key.rsplit(".", 1)[0]: key.rsplit(".", 1)[0] for key in texts}
    return {
        "unet": rows(mapping(unet_modules, "model.diffusion_model.", convert_ldm_unet_checkpoint, unet.config), shapes_of(unet)),
        "vae": rows(mapping(vae_modules, "first_stage_model.", convert_ldm_vae_checkpoint, vae.config), shapes_of(vae)),
        "text_encoder": rows(same, texts),
    }


def write(name, value):
    text = json.dumps(value, separators=(",", ":")).replace("],[", "],\n[")
    (OUT / name).write_text(text + "\n")


def sd15():
    unet = dict(block_out_channels=(320, 640, 1280, 1280), layers_per_block=2, cross_attention_dim=768)
    vae = dict(block_out_channels=(128, 256, 512, 512), layers_per_block=2,
               down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4)
    text = dict(hidden_size=768, intermediate_size=3072, num_hidden_layers=12, num_attention_heads=12)
    return checkpoint(unet, (1, 1, 1, 0), vae, text)


def tiny_sd1():
    unet = dict(block_out_channels=(32, 64), layers_per_block=1, cross_attention_dim=24,
                down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"), up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"))
    vae = dict(block_out_channels=(32, 64), layers_per_block=1,
               down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2)
    text = dict(hidden_size=24, intermediate_size=40, num_hidden_layers=2, num_attention_heads=1, vocab_size=99)
    return checkpoint(unet, (1, 0), vae, text)


def sdxl_unet():
    """SDXL's whole map would be large: the LDM modules, and a digest of the lines "LDM<tab>diffusers"."""
    config = dict(block_out_channels=(320, 640, 1280), layers_per_block=2, addition_embed_type="text_time",
                  class_embed_type=None)
    modules = ldm_unet_modules((320, 640, 1280), 2, (0, 2, 10), 10, label_emb=True)
    pairs = mapping(modules, "model.diffusion_model.", convert_ldm_unet_checkpoint, config)
    lines = "".join(f"{ldm}\t{ours}\n" for ldm, ours in sorted(pairs.items()))
    return {"modules": sorted(pairs), "sha256": hashlib.sha256(lines.encode()).hexdigest()}


if __name__ == "__main__":
    OUT.mkdir(parents=True, exist_ok=True)
    write("sd15_keys.json", sd15())
    write("tiny_sd1_keys.json", tiny_sd1())
    write("sdxl_unet_keys.json", sdxl_unet())
