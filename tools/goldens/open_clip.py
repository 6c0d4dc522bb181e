# SPDX-License-Identifier: Apache-2.0
"""Writes limn/models/testdata/open_clip.safetensors: a small OpenCLIP text model's tensors under its own names
("open_clip.…") and as diffusers' converter of single files names and cuts them ("diffusers.…").

usage: open_clip.py REPOSITORY
"""
import sys

import diffusers
import torch
from diffusers.loaders.single_file_utils import convert_open_clip_checkpoint
from safetensors.torch import save_file
from transformers import CLIPTextConfig, CLIPTextModelWithProjection

D, LAYERS, PREFIX = 32, 2, "conditioner.embedders.1.model."
g = torch.Generator().manual_seed(3)
file = {"positional_embedding": (77, D), "token_embedding.weight": (40, D), "ln_final.weight": (D,), "ln_final.bias": (D,),
        "text_projection": (D, 48)}
for n in range(LAYERS):
    block = f"transformer.resblocks.{n}."
    file.update({block + "attn.in_proj_weight": (3 * D, D), block + "attn.in_proj_bias": (3 * D,),
                 block + "attn.out_proj.weight": (D, D), block + "attn.out_proj.bias": (D,),
                 block + "mlp.c_fc.weight": (64, D), block + "mlp.c_fc.bias": (64,),
                 block + "mlp.c_proj.weight": (D, 64), block + "mlp.c_proj.bias": (D,)})
    for norm in ("ln_1", "ln_2"):
        file.update({block + f"{norm}.weight": (D,), block + f"{norm}.bias": (D,)})
file = {k: torch.randn(s, generator=g).half() for k, s in file.items()}
config = CLIPTextConfig(vocab_size=40, hidden_size=D, intermediate_size=64, num_hidden_layers=LAYERS, num_attention_heads=1,
                        projection_dim=48)
made = convert_open_clip_checkpoint(CLIPTextModelWithProjection(config), {PREFIX + k: v for k, v in file.items()}, PREFIX)
made = {(k if k.startswith(("text_model.", "text_projection")) else f"text_model.{k}"): v for k, v in made.items()
        if not k.endswith("position_ids")}
tensors = {**{f"open_clip.{k}": v for k, v in file.items()}, **{f"diffusers.{k}": v for k, v in made.items()}}
save_file({k: v.contiguous().clone() for k, v in tensors.items()}, f"{sys.argv[1]}/limn/models/testdata/open_clip.safetensors",
          {"made_by": "tools/goldens/open_clip.py", "diffusers": diffusers.__version__})
print(len(file), len(made))
