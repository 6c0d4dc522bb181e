# SPDX-License-Identifier: Apache-2.0
"""Writes tests/goldens/families/: tiny models of every U-Net family, and what diffusers 0.42.1 makes with them.

Text encoders have the 514 tokens of bytes alone, so that the files stay small; one VAE serves all.

usage: families.py REPOSITORY
"""
import json
import os
import shutil
import sys

import diffusers
import numpy as np
import torch
from diffusers import (AutoencoderTiny, DDIMScheduler, EulerDiscreteScheduler, LatentConsistencyModelPipeline,
                       LCMScheduler, StableDiffusionImg2ImgPipeline, StableDiffusionInpaintPipeline,
                       StableDiffusionInstructPix2PixPipeline, StableDiffusionPipeline, StableDiffusionSAGPipeline,
                       StableDiffusionXLImg2ImgPipeline, StableDiffusionXLInpaintPipeline, StableDiffusionXLPAGPipeline,
                       StableDiffusionXLPipeline, StableDiffusionPAGPipeline)
from PIL import Image
from safetensors.torch import save_file
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

import tiny_model
from tiny_model import perturb, rescale, round_to_half

ROOT = sys.argv[1]
OUT = os.path.join(ROOT, "tests", "goldens", "families")
BETAS = dict(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", num_train_timesteps=1000)
PROMPT, NEGATIVE = "a lighthouse in fog", "blurry"
SMALL = dict(block_out_channels=(16, 16, 32), norm_num_groups=4, layers_per_block=1, sample_size=8)


def byte_tokenizer(folder, pad):
    """CLIP's tokenizer without merges: every byte a token, and once more at the end of a word."""
    # GPT-2's letters for bytes: printable ones are themselves, the others follow from U+0100 on.
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [b for b in range(256) if b not in printable]
    letters = [chr(b) for b in printable] + [chr(256 + i) for i in range(len(others))]
    vocab = {t: i for i, t in enumerate(letters + [l + "</w>" for l in letters] + ["<|startoftext|>", "<|endoftext|>"])}
    os.makedirs(folder, exist_ok=True)
    json.dump(vocab, open(f"{folder}/vocab.json", "w"))
    open(f"{folder}/merges.txt", "w").write("#version: 0.2\n")
    special = dict(bos_token="<|startoftext|>", eos_token="<|endoftext|>", unk_token="<|endoftext|>", pad_token=pad)
    json.dump({**special, "model_max_length": 77, "tokenizer_class": "CLIPTokenizer"},
              open(f"{folder}/tokenizer_config.json", "w"))
    json.dump(special, open(f"{folder}/special_tokens_map.json", "w"))
    return CLIPTokenizer.from_pretrained(folder)


def text_encoder(seed, act, projection=None, layers=3, hidden=32):
    config = CLIPTextConfig(vocab_size=514, hidden_size=hidden, intermediate_size=64, num_hidden_layers=layers,
                            num_attention_heads=hidden // 16, max_position_embeddings=77, hidden_act=act,
                            projection_dim=projection or hidden, bos_token_id=512, eos_token_id=513, pad_token_id=513)
    model = (CLIPTextModelWithProjection if projection else CLIPTextModel)(config)
    perturb(model, seed, [("q_proj", 2)])
    if not projection:
        object.__setattr__(model, "text_model", model)  # where diffusers 0.42.1 looks for the final norm at clip skip
    return round_to_half(model)


def unet(condition, gain=1.0, **changes):
    model, x, _ = tiny_model.unet(**{**SMALL, **changes})
    kinds = dict(timestep_cond=torch.randn(2, 32, generator=torch.Generator().manual_seed(8))) if changes.get(
        "time_cond_proj_dim") else {}
    with torch.no_grad():
        rescale(model.conv_out, lambda: model(x, 500, condition["states"], added_cond_kwargs=condition.get("added"),
                                              **kinds).sample / gain)
    return round_to_half(model)


def states(dim, tokens=77):
    return torch.randn(2, tokens, dim, generator=torch.Generator().manual_seed(6))


def added(pooled, ids):
    g = torch.Generator().manual_seed(9)
    return dict(text_embeds=torch.randn(2, pooled, generator=g), time_ids=torch.rand(2, ids, generator=g) * 64)


def saved(scheduler):
    """From a file, as users have it: see tiny_model.make."""
    import tempfile
    with tempfile.TemporaryDirectory() as folder:
        scheduler.save_pretrained(folder)
        return type(scheduler).from_pretrained(folder)


def picture():
    return Image.open(os.path.join(ROOT, "tests", "goldens", "init.png")).convert("RGB").resize((64, 64), Image.LANCZOS)


def mask():
    m = np.zeros((64, 64), np.uint8)
    m[16:48, 24:64] = 255
    return Image.fromarray(m)


def seeds(n=1, first=7):
    return [torch.Generator().manual_seed(first + i) for i in range(n)]


class Goldens:
    def __init__(self):
        self.cases, self.tensors = [], {}

    def add(self, name, model, request, latents):
        self.tensors[name] = latents.float().contiguous()
        self.cases.append(dict(name=name, model=model, prompt=PROMPT, seed=7, **request))
        print(f"{name}: {tuple(latents.shape)}, std {latents.std():.3f}")


def folder_of(name, pipe, tokenizers):
    """Saves a pipeline in fp16 without its VAE, which lies once in vae/."""
    folder = os.path.join(OUT, name)
    shutil.rmtree(folder, ignore_errors=True)
    for part, module in pipe.components.items():
        if module is None or part in ("vae", "tokenizer", "tokenizer_2"):
            continue
        if part == "scheduler":
            module.save_pretrained(f"{folder}/scheduler")
        elif hasattr(module, "save_pretrained"):
            half = type(module)(module.config) if part.startswith("text") else type(module).from_config(module.config)
            half.load_state_dict(module.state_dict(), strict=False)
            half.half().save_pretrained(f"{folder}/{part}")
    for part, source in tokenizers.items():
        os.symlink(f"../{source}", f"{folder}/{part}")
    os.symlink("../vae", f"{folder}/vae")
    index = dict(pipe.config)
    index = {k: (list(v) if isinstance(v, tuple) else v) for k, v in index.items()}
    index["_class_name"], index["vae"] = type(pipe).__name__, ["diffusers", "AutoencoderKL"]
    for part in ("text_encoder", "text_encoder_2"):
        if getattr(pipe, part, None) is not None:
            index[part] = ["transformers", type(getattr(pipe, part)).__name__]
    for part in ("tokenizer", "tokenizer_2"):
        if part in tokenizers:
            index[part] = ["transformers", "CLIPTokenizer"]
    index = {k: v for k, v in index.items() if k not in ("_name_or_path",)}
    json.dump(index, open(f"{folder}/model_index.json", "w"), indent=1)


@torch.no_grad()
def main():
    torch.set_num_threads(1)
    shutil.rmtree(OUT, ignore_errors=True)
    os.makedirs(OUT)
    goldens = Goldens()
    add = goldens.add
    pad_end = byte_tokenizer(f"{OUT}/tokenizer", "<|endoftext|>")
    pad_zero = byte_tokenizer(f"{OUT}/tokenizer_pads_with_zero", "!")
    vae = tiny_model.vae()
    os.symlink("../tiny_sd1/vae", f"{OUT}/vae")  # pipelines.py wrote the same
    image, repaint = picture(), mask()
    image.save(f"{OUT}/init.png")
    repaint.save(f"{OUT}/mask.png")
    plain = dict(vae=vae, safety_checker=None, feature_extractor=None, requires_safety_checker=False)
    size = dict(width=64, height=64)
    common = dict(prompt=[PROMPT], negative_prompt=[NEGATIVE], guidance_scale=5.0, output_type="latent")
    ask = dict(negative_prompt=NEGATIVE, guidance_scale=5.0, width=64, height=64)

    def quiet(pipe):
        pipe.set_progress_bar_config(disable=True)
        return pipe

    # Stable Diffusion 2: gelu, linear projections, head sizes, v-prediction, padding with token 0.
    te = text_encoder(20, "gelu")
    ddim_v = saved(DDIMScheduler(**BETAS, prediction_type="v_prediction", clip_sample=False, set_alpha_to_one=False,
                                 steps_offset=1))
    sd2 = dict(text_encoder=te, tokenizer=pad_zero,
               unet=unet(dict(states=states(32)), cross_attention_dim=32, use_linear_projection=True,
                         down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
                         up_block_types=("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
                         attention_head_dim=[2, 2, 4]), scheduler=ddim_v)
    pipe = quiet(StableDiffusionPipeline(**plain, **sd2))
    folder_of("sd2", pipe, dict(tokenizer="tokenizer_pads_with_zero"))
    add("sd2_v", "sd2", dict(ask, steps=6), pipe(**common, **size, num_inference_steps=6, generator=seeds()).images)
    add("sd2_rescale", "sd2", dict(ask, steps=5, guidance_rescale=0.7),
        pipe(**common, **size, num_inference_steps=5, guidance_rescale=0.7, generator=seeds()).images)
    eps = quiet(StableDiffusionPipeline(**plain, **{**sd2, "scheduler": DDIMScheduler.from_config(
        ddim_v.config, prediction_type="epsilon")}))
    add("sd2_epsilon", "sd2", dict(ask, steps=6, prediction="epsilon"),
        eps(**common, **size, num_inference_steps=6, generator=seeds()).images)
    zero = DDIMScheduler.from_config(ddim_v.config, rescale_betas_zero_snr=True)
    add("sd2_zero_snr", "sd2", dict(ask, steps=6, scheduler="ddim", schedule="zero_snr"),
        quiet(StableDiffusionPipeline(**plain, **{**sd2, "scheduler": zero}))(
            **common, **size, num_inference_steps=6, generator=seeds()).images)
    pag = quiet(StableDiffusionPAGPipeline(**plain, **sd2, pag_applied_layers="mid"))
    add("pag_mid", "sd2", dict(ask, steps=5, pag_scale=3.0),
        pag(**common, **size, num_inference_steps=5, pag_scale=3.0, generator=seeds()).images)
    add("pag_adaptive_unguided", "sd2", dict(ask, steps=5, pag_scale=2.0, pag_adaptive_scale=0.002, guidance_scale=1.0),
        pag(**{**common, "guidance_scale": 1.0}, **size, num_inference_steps=5, pag_scale=2.0, pag_adaptive_scale=0.002,
            generator=seeds()).images)
    pag_blocks = quiet(StableDiffusionPAGPipeline(**plain, **sd2, pag_applied_layers=["up_blocks.1", "down_blocks.0"]))
    add("pag_blocks", "sd2", dict(ask, steps=4, pag_scale=2.5, pag_blocks="up.1, down.0", count=2),
        pag_blocks(**{**common, "prompt": [PROMPT] * 2, "negative_prompt": [NEGATIVE] * 2}, **size, num_inference_steps=4,
                   pag_scale=2.5, generator=seeds(2)).images)
    for module in pag.unet.modules():  # PAG's processors stay in the shared U-Net
        if hasattr(module, "set_processor"):
            module.set_processor(diffusers.models.attention_processor.AttnProcessor2_0())
    # The head count of a list would be read off the last level there: one level's count is needed.
    sag_unet = unet(dict(states=states(32)), cross_attention_dim=32, attention_head_dim=4,
                    down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
                    up_block_types=("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"))
    ddim = saved(DDIMScheduler(**BETAS, clip_sample=False, set_alpha_to_one=False, steps_offset=1))
    sd1 = dict(text_encoder=te, tokenizer=pad_zero, scheduler=ddim, unet=sag_unet)
    folder_of("sd1", quiet(StableDiffusionPipeline(**plain, **sd1)), dict(tokenizer="tokenizer_pads_with_zero"))
    sag = quiet(StableDiffusionSAGPipeline(**plain, **sd1))
    add("sag", "sd1", dict(ask, steps=5, sag_scale=0.75),
        sag(**common, **size, num_inference_steps=5, sag_scale=0.75, generator=seeds()).images)
    add("sag_unguided", "sd1", dict(ask, steps=5, sag_scale=1.0, guidance_scale=1.0),
        sag(**{**common, "guidance_scale": 1.0}, **size, num_inference_steps=5, sag_scale=1.0, generator=seeds()).images)
    freeu = quiet(StableDiffusionPipeline(**plain, **sd1))
    freeu.enable_freeu(s1=0.9, s2=0.2, b1=1.5, b2=1.6)
    add("freeu", "sd1", dict(ask, steps=5, freeu="0.9,0.2,1.5,1.6"),
        freeu(**common, **size, num_inference_steps=5, generator=seeds()).images)
    freeu.disable_freeu()

    # Inpainting with an ordinary U-Net, with nine channels, editing with eight.
    painting = dict(common, image=image, mask_image=repaint, **size)
    pipe = quiet(StableDiffusionInpaintPipeline(**plain, **sd1))
    files = dict(init_image="init.png", mask="mask.png")
    for name, strength, scheduler in [("inpaint", 0.7, "ddim"), ("inpaint_full", 1.0, "ddim"), ("inpaint_heun", 0.6, "heun")]:
        pipe.scheduler = ddim if scheduler == "ddim" else diffusers.HeunDiscreteScheduler.from_config(ddim.config)
        add(name, "sd1", dict(ask, **files, steps=6, strength=strength, scheduler=scheduler),
            pipe(**painting, num_inference_steps=6, strength=strength, generator=seeds()).images)
    types = dict(down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
                 up_block_types=("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"), cross_attention_dim=32,
                 attention_head_dim=4)
    nine = dict(sd1, unet=unet(dict(states=states(32)), in_channels=9, **types))
    pipe = quiet(StableDiffusionInpaintPipeline(**plain, **nine))
    folder_of("inpaint", pipe, dict(tokenizer="tokenizer_pads_with_zero"))
    for name, strength in [("inpaint_9", 1.0), ("inpaint_9_part", 0.6)]:
        add(name, "inpaint", dict(ask, **files, steps=6, strength=strength),
            pipe(**painting, num_inference_steps=6, strength=strength, generator=seeds()).images)
    eight = dict(sd1, unet=unet(dict(states=states(32)), in_channels=8, **types))
    pipe = quiet(StableDiffusionInstructPix2PixPipeline(**plain, **eight))
    folder_of("instruct_pix2pix", pipe, dict(tokenizer="tokenizer_pads_with_zero"))
    add("instruct_pix2pix", "instruct_pix2pix", dict(ask, init_image="init.png", steps=5, image_guidance_scale=1.3),
        pipe(**common, image=image, num_inference_steps=5, image_guidance_scale=1.3, generator=seeds()).images)
    consistency = dict(sd1, unet=unet(dict(states=states(32)), time_cond_proj_dim=32, **types),
                       scheduler=saved(LCMScheduler(**BETAS, clip_sample=False, set_alpha_to_one=True)))
    pipe = quiet(LatentConsistencyModelPipeline(**plain, **consistency))
    folder_of("lcm", pipe, dict(tokenizer="tokenizer_pads_with_zero"))
    without = {k: v for k, v in common.items() if k != "negative_prompt"}
    add("lcm", "lcm", dict(steps=4, guidance_scale=5.0, width=64, height=64),
        pipe(**without, **size, num_inference_steps=4, generator=seeds()).images)

    # Stable Diffusion XL: two encoders, sizes, depths; its refiner.
    xl_types = dict(down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
                    up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
                    use_linear_projection=True, addition_embed_type="text_time", addition_time_embed_dim=256,
                    attention_head_dim=[2, 2, 4])
    te_1, te_2 = text_encoder(21, "quick_gelu"), text_encoder(22, "gelu", projection=1280)
    euler = saved(EulerDiscreteScheduler(**BETAS, timestep_spacing="leading", steps_offset=1))
    base = dict(text_encoder=te_1, tokenizer=pad_end, text_encoder_2=te_2, tokenizer_2=pad_zero, scheduler=euler, vae=vae)
    base["unet"] = unet(dict(states=states(64), added=added(1280, 6)), cross_attention_dim=64, **xl_types,
                        projection_class_embeddings_input_dim=2816, transformer_layers_per_block=[1, 1, 2])
    xl = quiet(StableDiffusionXLPipeline(**base))
    tokenizers = dict(tokenizer="tokenizer", tokenizer_2="tokenizer_pads_with_zero")
    folder_of("sdxl", xl, tokenizers)
    config = f"{OUT}/sdxl/scheduler/scheduler_config.json"  # as in the file that Stability published
    json.dump({**json.load(open(config)), "clip_sample": False, "set_alpha_to_one": False, "skip_prk_steps": True},
              open(config, "w"), indent=2)
    add("sdxl", "sdxl", dict(ask, steps=5), xl(**common, **size, num_inference_steps=5, generator=seeds()).images)
    none = {k: v for k, v in ask.items() if k != "negative_prompt"}
    add("sdxl_no_negative", "sdxl", dict(none, steps=4),
        xl(**without, **size, num_inference_steps=4, generator=seeds()).images)
    add("sdxl_empty_negative", "sdxl", dict(ask, negative_prompt="", steps=4),
        xl(**{**common, "negative_prompt": [""]}, **size, num_inference_steps=4, generator=seeds()).images)
    add("sdxl_sizes", "sdxl", dict(ask, steps=4, prompt_2="an old tower", negative_prompt_2="noise", clip_skip=1,
                                   original_size=[96, 80], target_size=[72, 64], crop=[3, 5],
                                   negative_original_size=[32, 40], negative_target_size=[64, 64], negative_crop=[1, 2]),
        xl(**common, **size, prompt_2=["an old tower"], negative_prompt_2=["noise"], clip_skip=1, original_size=(80, 96), target_size=(64, 72),
           crops_coords_top_left=(3, 5), negative_original_size=(40, 32), negative_target_size=(64, 64),
           negative_crops_coords_top_left=(1, 2), num_inference_steps=4, generator=seeds()).images)
    add("sdxl_unguided", "sdxl", dict(none, guidance_scale=1.0, steps=4),
        xl(**{**without, "guidance_scale": 1.0}, **size, num_inference_steps=4, generator=seeds()).images)
    pag = quiet(StableDiffusionXLPAGPipeline(**base, pag_applied_layers="mid"))
    add("sdxl_pag", "sdxl", dict(ask, steps=4, pag_scale=3.0),
        pag(**common, **size, num_inference_steps=4, pag_scale=3.0, generator=seeds()).images)
    for module in pag.unet.modules():
        if hasattr(module, "set_processor"):
            module.set_processor(diffusers.models.attention_processor.AttnProcessor2_0())
    i2i = quiet(StableDiffusionXLImg2ImgPipeline(**base))
    add("sdxl_img2img", "sdxl", dict(ask, init_image="init.png", steps=6, strength=0.5),
        i2i(**common, image=image, num_inference_steps=6, strength=0.5, generator=seeds()).images)
    paint = quiet(StableDiffusionXLInpaintPipeline(**base))
    add("sdxl_inpaint", "sdxl", dict(ask, **files, steps=6, strength=0.7),
        paint(**painting, num_inference_steps=6, strength=0.7, generator=seeds()).images)
    refiner_parts = dict(text_encoder=None, tokenizer=None, text_encoder_2=te_2, tokenizer_2=pad_zero, scheduler=euler,
                         vae=vae, requires_aesthetics_score=True, force_zeros_for_empty_prompt=False)
    refiner_parts["unet"] = unet(dict(states=states(32), added=added(1280, 5)), cross_attention_dim=32, **xl_types,
                                 projection_class_embeddings_input_dim=2560)
    refiner = quiet(StableDiffusionXLImg2ImgPipeline(**refiner_parts))
    folder_of("sdxl_refiner", refiner, dict(tokenizer_2="tokenizer_pads_with_zero"))
    add("refiner_img2img", "sdxl_refiner", dict(ask, init_image="init.png", steps=6, strength=0.5, aesthetic_score=5.5),
        refiner(**common, image=image, num_inference_steps=6, strength=0.5, aesthetic_score=5.5, generator=seeds()).images)
    for name, end in [("base_and_refiner", 0.7), ("base_and_refiner_early", 0.4)]:
        half_way = xl(**common, **size, num_inference_steps=8, denoising_end=end, generator=seeds()).images
        add(name, "sdxl", dict(ask, steps=8, refiner="sdxl_refiner", refiner_start=end),
            refiner(**common, image=half_way, num_inference_steps=8, denoising_start=end, generator=seeds()).images)
    # Asymmetric depths and a middle block without attention, as in SSD-1B; none at all, as in KOALA.
    ssd = dict(base, unet=unet(dict(states=states(64), added=added(1280, 6)), cross_attention_dim=64, **{
        **xl_types, "layers_per_block": 2}, projection_class_embeddings_input_dim=2816, mid_block_type="UNetMidBlock2D",
        transformer_layers_per_block=[1, [2, 2], [1, 1]], reverse_transformer_layers_per_block=[[1, 1, 2], [2, 1, 1], 1]))
    pipe = quiet(StableDiffusionXLPipeline(**ssd))
    folder_of("ssd", pipe, tokenizers)
    add("ssd", "ssd", dict(ask, steps=4), pipe(**common, **size, num_inference_steps=4, generator=seeds()).images)
    koala = dict(base, unet=unet(dict(states=states(64), added=added(1280, 6)), cross_attention_dim=64, **xl_types,
                                 projection_class_embeddings_input_dim=2816, mid_block_type=None,
                                 transformer_layers_per_block=[1, 2, 3]))
    pipe = quiet(StableDiffusionXLPipeline(**koala))
    folder_of("koala", pipe, tokenizers)
    add("koala", "koala", dict(ask, steps=4), pipe(**common, **size, num_inference_steps=4, generator=seeds()).images)

    # A tiny autoencoder in place of the VAE.
    torch.manual_seed(31)
    taesd = round_to_half(AutoencoderTiny(encoder_block_out_channels=(16,) * 4, decoder_block_out_channels=(16,) * 4))
    small = AutoencoderTiny.from_config(taesd.config)
    small.load_state_dict(taesd.state_dict())
    small.half().save_pretrained(f"{OUT}/taesd")
    pixels = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(5)) * 2 - 1
    latents = taesd.encode(pixels).latents
    goldens.tensors.update({"taesd.pixels": pixels, "taesd.latents": latents, "taesd.decoded": taesd.decode(latents).sample})
    pipe = quiet(StableDiffusionImg2ImgPipeline(**{**plain, "vae": taesd}, **sd1))
    add("taesd_img2img", "sd1", dict(ask, vae="taesd", init_image="init.png", steps=6, strength=0.5),
        pipe(**common, image=image, num_inference_steps=6, strength=0.5, generator=seeds()).images)

    metadata = {"made_by": "tools/goldens/families.py", "diffusers": diffusers.__version__, "torch": torch.__version__}
    save_file({k: v.contiguous() for k, v in goldens.tensors.items()}, f"{OUT}/latents.safetensors", metadata)
    json.dump(goldens.cases, open(f"{OUT}/cases.json", "w"), indent=1)


main()
