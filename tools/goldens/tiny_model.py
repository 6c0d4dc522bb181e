# SPDX-License-Identifier: Apache-2.0
"""A Stable Diffusion 1 model of real architecture and tiny size, with seeded random weights that make every part matter.

Plain initialisation hides mistakes: norms are the identity, biases 0, and attention is nearly flat. So norms and biases
are perturbed, cross-attention is sharpened, and the output layers are rescaled to unit variance. A norm group has four
channels: alone in its group, a channel would lose the time embedding that is added to it. All weights are rounded
to float16, so that float16 and float32 files hold the same model.
"""
import tempfile

import torch
from diffusers import AutoencoderKL, PNDMScheduler, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel

SCHEDULER = dict(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", num_train_timesteps=1000,
                 skip_prk_steps=True, set_alpha_to_one=False, steps_offset=1)


def perturb(model, seed, gains=()):
    generator = torch.Generator().manual_seed(seed)
    noise = lambda p: torch.randn(p.shape, generator=generator)
    with torch.no_grad():
        for name, p in model.named_parameters():
            if p.dim() == 1:
                p.copy_((1 + 0.3 * noise(p)) if name.endswith("weight") else 0.2 * noise(p))
            elif "embedding.weight" in name:
                p.copy_(noise(p) * 0.7)
            else:
                p.copy_(noise(p) * p[0].numel() ** -0.5)
            for part, gain in gains:
                if part in name and p.dim() > 1:
                    p.mul_(gain)


def rescale(layer, run):
    """Scales the output layer so that run() has unit variance and no bias."""
    with torch.no_grad():
        layer.bias.mul_(0.1)
        layer.weight.div_(run().std())


def round_to_half(model):
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(p.half().float())
    return model.eval()


def unet(**changes):
    config = dict(sample_size=8, block_out_channels=(32, 32, 64, 64), cross_attention_dim=32, attention_head_dim=8,
                  norm_num_groups=8)
    model = UNet2DConditionModel(**{**config, **changes})
    perturb(model, 1, [("attn2.to_q", 3), ("attn2.to_out", 2), ("attn1.to_q", 2)])
    g = torch.Generator().manual_seed(2)
    x = torch.randn(2, model.config.in_channels, 16, 16, generator=g)
    return model, x, g


def vae():
    model = AutoencoderKL(block_out_channels=(32, 32, 32, 64), layers_per_block=2, latent_channels=4, sample_size=64,
                          norm_num_groups=8,
                          down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4)
    perturb(model, 3, [("to_q", 3)])
    g = torch.Generator().manual_seed(4)
    picture = torch.rand(1, 3, 64, 64, generator=g) * 2 - 1
    with torch.no_grad():
        rescale(model.encoder.conv_out, lambda: model.encoder(picture) * 0.5)
        rescale(model.decoder.conv_out, lambda: model.decoder(torch.randn(1, 4, 8, 8, generator=g)) * 2)
    return round_to_half(model)


def text_encoder():
    config = CLIPTextConfig(vocab_size=49408, hidden_size=32, intermediate_size=64, num_hidden_layers=4,
                            num_attention_heads=1, max_position_embeddings=77, hidden_act="quick_gelu",
                            projection_dim=32, bos_token_id=49406, eos_token_id=49407, pad_token_id=49407)
    model = CLIPTextModel(config)
    perturb(model, 5, [("q_proj", 2)])
    object.__setattr__(model, "text_model", model)  # where diffusers 0.42.1 looks for the final norm at clip skip
    return round_to_half(model)


def make():
    model, x, _ = unet()
    text = torch.randn(2, 77, 32, generator=torch.Generator().manual_seed(6))
    with torch.no_grad():
        rescale(model.conv_out, lambda: model(x, 500, text).sample)
    # From a file, as users have it: a scheduler made here would remember which fields were defaults, and its successors
    # would put their own defaults in their place.
    with tempfile.TemporaryDirectory() as folder:
        PNDMScheduler(**SCHEDULER).save_pretrained(folder)
        scheduler = PNDMScheduler.from_pretrained(folder)
    return dict(unet=round_to_half(model), vae=vae(), text_encoder=text_encoder(), scheduler=scheduler)
