# SPDX-License-Identifier: Apache-2.0
"""The parts of a diffusers folder as plain modules of tensors, for timing and for export."""
import os

import torch


class Text(torch.nn.Module):
    def __init__(self, folder, dtype):
        super().__init__()
        from transformers import CLIPTextModel
        self.model = CLIPTextModel.from_pretrained(os.path.join(folder, "text_encoder"), dtype=dtype)

    def forward(self, ids):
        return self.model(input_ids=ids, return_dict=False)[0]


class Step(torch.nn.Module):
    def __init__(self, folder, dtype):
        super().__init__()
        from diffusers import UNet2DConditionModel
        self.model = UNet2DConditionModel.from_pretrained(folder, subfolder="unet", torch_dtype=dtype)

    def forward(self, sample, timestep, states):
        return self.model(sample, timestep, states, return_dict=False)[0]


class Decode(torch.nn.Module):
    def __init__(self, folder, dtype):
        super().__init__()
        from diffusers import AutoencoderKL
        self.model = AutoencoderKL.from_pretrained(folder, subfolder="vae", torch_dtype=dtype)

    def forward(self, latents):
        return self.model.decode(latents / self.model.config.scaling_factor, return_dict=False)[0]


MODULES = {"text": Text, "step": Step, "decode": Decode}


def load(part, folder, dtype=torch.float32):
    return MODULES[part](folder, dtype).eval()
