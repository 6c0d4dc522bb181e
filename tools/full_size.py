# SPDX-License-Identifier: Apache-2.0
"""Compares limn with diffusers on a model of full size: numbers, time and memory, on the CPU.

usage: full_size.py LIMN_PROGRAM WORK_FOLDER [--family sd1|sdxl] [--steps 3] [--size PIXELS]

The model has the architecture of Stable Diffusion 1.5 or XL and seeded random weights, made as tools/goldens/tiny_model.py
makes them. It is made once in WORK_FOLDER (sd1: 8.5 GB as a diffusers folder, single files and a .ckpt; sdxl: 14 GB as
a folder and a single file, in float16). Each side then draws the same picture in a fresh process, one at a time, its
files in the page cache. Needs torch, diffusers and transformers, and 12 GB of memory (sdxl: 20 GB). Prints a markdown
table; exits 1 if final latents differ by more than 1e-3 (relative L2). With sdxl, limn alone draws 1024×1024, decoded in
tiles, too; exits 1 if that takes 10 GiB or more.
"""
import argparse
import json
import os
import pty
import re
import shutil
import subprocess
import sys
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "tools", "goldens"))
PROMPT, SEED, GUIDANCE, LIMIT, LIMIT_GIB = "a lighthouse in fog", 7, 7.5, 1e-3, 10
WORDS = os.path.join(ROOT, "data", "embedded", "tokenizer")
LAYOUTS = {
    "sd1": {"diffusers folder, fp16": "folder", ".safetensors, fp32": "single32.safetensors",
            ".safetensors, fp16": "single16.safetensors", ".ckpt, fp16": "single16.ckpt"},
    "sdxl": {"diffusers folder, fp16": "xl_folder", ".safetensors, fp16": "xl_single16.safetensors"},
}
SIZES = {"sd1": 512, "sdxl": 256}


def half(module):
    import tiny_model
    return tiny_model.round_to_half(module).half()


def autoencoder(**changes):
    import tiny_model
    import torch
    from diffusers import AutoencoderKL
    vae = AutoencoderKL(block_out_channels=(128, 256, 512, 512), layers_per_block=2, latent_channels=4, sample_size=512,
                        down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4,
                        **changes)
    tiny_model.perturb(vae, 3, [("to_q", 3)])
    g = torch.Generator().manual_seed(4)
    picture, latents = torch.rand(1, 3, 64, 64, generator=g) * 2 - 1, torch.randn(1, 4, 8, 8, generator=g)
    with torch.no_grad():
        tiny_model.rescale(vae.encoder.conv_out, lambda: vae.encoder(picture) * 0.5)
        tiny_model.rescale(vae.decoder.conv_out, lambda: vae.decoder(latents) * 2)
    return half(vae)


def make_folder(folder):
    import tiny_model
    import torch
    from diffusers import PNDMScheduler, StableDiffusionPipeline
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

    unet, x, _ = tiny_model.unet(sample_size=64, block_out_channels=(320, 640, 1280, 1280), cross_attention_dim=768,
                                 norm_num_groups=32)
    text = torch.randn(2, 77, 768, generator=torch.Generator().manual_seed(6))
    with torch.no_grad():
        tiny_model.rescale(unet.conv_out, lambda: unet(x, 500, text).sample)

    text_encoder = CLIPTextModel(CLIPTextConfig(
        vocab_size=49408, hidden_size=768, intermediate_size=3072, num_hidden_layers=12, num_attention_heads=12,
        max_position_embeddings=77, hidden_act="quick_gelu", projection_dim=768, bos_token_id=49406, eos_token_id=49407,
        pad_token_id=49407))
    tiny_model.perturb(text_encoder, 5, [("q_proj", 2)])

    StableDiffusionPipeline(unet=half(unet), text_encoder=half(text_encoder), vae=autoencoder(),
                            scheduler=PNDMScheduler(**tiny_model.SCHEDULER),
                            tokenizer=CLIPTokenizer.from_pretrained(WORDS), safety_checker=None,
                            feature_extractor=None, requires_safety_checker=False).save_pretrained(folder)
    put_words(folder, "tokenizer")


def put_words(folder, name):
    """SD 1.5 and XL have vocab.json and merges.txt."""
    shutil.rmtree(os.path.join(folder, name))
    shutil.copytree(WORDS, os.path.join(folder, name))


def make_xl_folder(folder):
    import tiny_model
    import torch
    from diffusers import EulerDiscreteScheduler, StableDiffusionXLPipeline
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

    unet, x, _ = tiny_model.unet(
        sample_size=128, block_out_channels=(320, 640, 1280), attention_head_dim=(5, 10, 20), cross_attention_dim=2048,
        transformer_layers_per_block=(1, 2, 10), addition_embed_type="text_time", addition_time_embed_dim=256,
        projection_class_embeddings_input_dim=2816, use_linear_projection=True, norm_num_groups=32,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"))
    g = torch.Generator().manual_seed(6)
    text, added = torch.randn(2, 77, 2048, generator=g), dict(text_embeds=torch.randn(2, 1280, generator=g),
                                                              time_ids=torch.rand(2, 6, generator=g) * 1024)
    with torch.no_grad():
        tiny_model.rescale(unet.conv_out, lambda: unet(x, 500, text, added_cond_kwargs=added).sample)
    unet = half(unet)

    common = dict(vocab_size=49408, max_position_embeddings=77, bos_token_id=49406, eos_token_id=49407)
    first = CLIPTextModel(CLIPTextConfig(hidden_size=768, intermediate_size=3072, num_hidden_layers=12,
                                         num_attention_heads=12, hidden_act="quick_gelu", projection_dim=768,
                                         pad_token_id=49407, **common))
    second = CLIPTextModelWithProjection(CLIPTextConfig(hidden_size=1280, intermediate_size=5120, num_hidden_layers=32,
                                                        num_attention_heads=20, hidden_act="gelu", projection_dim=1280,
                                                        pad_token_id=1, **common))
    for seed, encoder in [(5, first), (10, second)]:
        tiny_model.perturb(encoder, seed, [("q_proj", 2)])
    words = CLIPTokenizer.from_pretrained(WORDS)
    other_words = CLIPTokenizer.from_pretrained(WORDS, pad_token="!")
    schedule = dict(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", steps_offset=1,
                    timestep_spacing="leading")
    StableDiffusionXLPipeline(unet=unet, vae=autoencoder(scaling_factor=0.13025), text_encoder=half(first),
                              text_encoder_2=half(second), tokenizer=words, tokenizer_2=other_words,
                              scheduler=EulerDiscreteScheduler(**schedule),
                              add_watermarker=False).save_pretrained(folder)
    put_words(folder, "tokenizer")
    put_words(folder, "tokenizer_2")
    for name in ("tokenizer_config.json", "special_tokens_map.json"):
        path = os.path.join(folder, "tokenizer_2", name)
        json.dump({**json.load(open(path)), "pad_token": "!"}, open(path, "w"))


def make_ckpt(single, out):
    import torch
    from safetensors.torch import load_file
    torch.save({"state_dict": load_file(single)}, out)


def check_single(folder, single):
    """limn wrote the single file: does diffusers read the folder's weights from it?"""
    import torch
    from diffusers import StableDiffusionPipeline
    from safetensors import safe_open
    try:
        pipe = StableDiffusionPipeline.from_single_file(single, config=folder, local_files_only=True,
                                                        original_config=None, torch_dtype=torch.float32)
    except Exception as error:  # what diffusers asks the network for differs by version
        print(f"note: diffusers did not load the single file offline: {type(error).__name__}: {error}")
        return
    for part in ("unet", "vae"):
        state = getattr(pipe, part).state_dict()
        with safe_open(os.path.join(folder, part, "diffusion_pytorch_model.safetensors"), "pt") as want:
            assert set(state) == set(want.keys()), f"{part}: other tensors than in the folder"
            for name in state:
                assert torch.equal(state[name], want.get_tensor(name).float()), f"{part}: {name} differs"
        print(f"diffusers reads {len(state)} tensors of the {part} from the fp32 single file, bit for bit the folder's")


def run_diffusers(folder, steps, size, latents_out, picture_out):
    import torch
    from diffusers import DiffusionPipeline
    from safetensors.torch import save_file
    torch.set_num_threads(os.cpu_count())
    started = time.monotonic()
    pipe = DiffusionPipeline.from_pretrained(folder, torch_dtype=torch.float32)
    loaded = time.monotonic()
    pipe.set_progress_bar_config(disable=True)
    stamps = []

    def on_step(pipe, step, timestep, kwargs):
        stamps.append(time.monotonic())
        return {}

    latents = pipe(PROMPT, num_inference_steps=steps, guidance_scale=GUIDANCE, width=size, height=size,
                   generator=torch.Generator().manual_seed(SEED), output_type="latent",
                   callback_on_step_end=on_step).images
    decode_started = time.monotonic()
    with torch.no_grad():
        pixels = pipe.vae.decode(latents / pipe.vae.config.scaling_factor).sample
    decoded = time.monotonic()
    pipe.image_processor.postprocess(pixels, output_type="pil")[0].save(picture_out)
    save_file({"latents": latents.float().contiguous()}, latents_out)
    print(json.dumps(dict(load=loaded - started, decode=decoded - decode_started, stamps=stamps)))


def here(task, *args):
    """Runs a task of this file in a process of its own: the memory of this one stays small."""
    return [sys.executable, os.path.abspath(__file__), "--task", task, *map(str, args)]


def measure(command):
    """Stamps limn's progress, which it shows on a terminal only. Returns the output and what the process took."""
    screen, terminal = pty.openpty()
    seen, lines = {}, []

    def watch():
        try:
            while data := os.read(screen, 4096):
                now = time.monotonic()
                lines.append(data.decode(errors="replace"))
                for step in re.findall(r"step (\d+) of", lines[-1]):
                    seen.setdefault(int(step), now)
        except OSError:
            pass  # closed at the other end

    watcher = threading.Thread(target=watch)
    watcher.start()
    started = time.monotonic()
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=terminal)
    os.close(terminal)
    out = child.stdout.read()
    _, status, usage = os.wait4(child.pid, 0)
    wall = time.monotonic() - started
    watcher.join()
    os.close(screen)
    if status:
        sys.exit(f"failed with status {status}: {' '.join(command)}\n{''.join(lines)}")
    report = json.loads(out.decode().strip().splitlines()[-1])
    report = {**report, **report.get("timings", {})}
    stamps = report.get("stamps") or [seen[step] for step in sorted(seen)]
    return dict(load=report["load"], first=stamps[0] - started, decode=report["decode"], wall=wall, count=len(stamps),
                step=(stamps[-1] - stamps[0]) / max(1, len(stamps) - 1), memory=usage.ru_maxrss / 2**20,
                cpu=usage.ru_utime + usage.ru_stime)


def relative_l2(a, b):
    import numpy as np
    from safetensors.numpy import load_file
    a, b = (load_file(name)["latents"].astype(np.float64) for name in (a, b))
    assert a.shape == b.shape and np.isfinite(b).all(), (a.shape, b.shape)
    return np.linalg.norm(a - b) / np.linalg.norm(b)


def warm(path):
    """Brings the files into the page cache, so that no side pays for the disk."""
    for file in [path] if os.path.isfile(path) else [os.path.join(d, f) for d, _, fs in os.walk(path) for f in fs]:
        with open(file, "rb") as f:
            while f.read(1 << 24):
                pass


def make(out, command, written=None):
    """Runs the command that writes `written`, and gives it its name only when it is whole. Once."""
    if not os.path.exists(out):
        print(f"making {out}", file=sys.stderr)
        subprocess.run(command, check=True)
        os.rename(written, out)


def make_models(limn, place, family):
    folder, *files = map(place, LAYOUTS[family].values())
    make(folder, here("make_folder" if family == "sd1" else "make_xl_folder", folder + ".part"), folder + ".part")
    for out in files:
        part = place("part.safetensors")
        if out.endswith(".ckpt"):
            make(out, here("make_ckpt", files[1], out + ".part"), out + ".part")
        else:
            dtype = "float32" if "32" in os.path.basename(out) else "float16"
            make(out, [limn, "convert", folder, part, "--dtype", dtype, "--force", "--quiet"], part)
    if family == "sd1":
        subprocess.run(here("check_single", folder, files[0]), check=True)


def draw(limn, place, name, steps, size, *more):
    """limn's picture: what it took, and the file of its latents."""
    warm(place(name))
    latents = place(f"{name}.latents.safetensors")
    options = dict(model=place(name), steps=steps, seed=SEED, width=size, height=size, guidance_scale=GUIDANCE,
                   device="cpu", dtype="float32", threads=os.cpu_count(), save_latents=latents,
                   output=place(f"{name}.png"))
    flags = [text for key, value in options.items() for text in ("--" + key.replace("_", "-"), str(value))]
    return measure([limn, "generate", PROMPT, *flags, *more, "--force", "--json"]), latents


def main(limn, work, family, steps, size):
    os.makedirs(work, exist_ok=True)
    place = lambda name: os.path.join(work, name)
    make_models(limn, place, family)
    folder = place(next(iter(LAYOUTS[family].values())))
    rows, far = {}, []
    warm(folder)
    reference = place("diffusers.latents.safetensors")
    rows["diffusers"] = measure(here("run_diffusers", folder, steps, size, reference, place("diffusers.png")))
    for layout, name in LAYOUTS[family].items():
        row, latents = draw(limn, place, name, steps, size)
        rows[f"limn, {layout}"] = {**row, "l2": relative_l2(latents, reference)}

    base = rows["diffusers"]
    print("\n| program, model | load (s) | first step done (s) | a later step (s) | decode (s) | wall (s) | CPU (s) "
          "| peak memory (GiB) | latents, relative L2 |\n|---|---|---|---|---|---|---|---|---|")
    for name, row in rows.items():
        cells = [f"{row[k]:.2f}" + ("" if row is base else f" ({row[k] / base[k]:.2f}×)")
                 for k in ("load", "first", "step", "decode", "wall", "cpu", "memory")]
        print(f"| {name} | {' | '.join(cells)} | {'' if row is base else format(row['l2'], '.1e')} |")
        if not row.get("l2", 0) <= LIMIT or row["count"] != base["count"]:
            far.append(name)
    print(f"\n{size}×{size}, {steps} steps ({base['count']} runs of the UNet), guidance {GUIDANCE}, float32, "
          f"{os.cpu_count()} threads; in brackets: ratio to diffusers. First step done: since the process started, "
          "imports included; stamped by diffusers' callback_on_step_end and when limn's progress line shows the step. "
          "Load and decode: each program's own clock, without imports. Memory: ru_maxrss, which counts mapped files.")
    if far:
        sys.exit(f"further from diffusers than {LIMIT}, or another number of steps: {', '.join(far)}")
    if family != "sdxl":
        return
    row, _ = draw(limn, place, LAYOUTS[family][".safetensors, fp16"], 2, 1024, "--vae-tile", "512")
    print(f"\n1024×1024, float16 file, --vae-tile 512: peak memory {row['memory']:.2f} GiB, a step {row['step']:.1f} s, "
          f"decode {row['decode']:.1f} s")
    if row["memory"] >= LIMIT_GIB:
        sys.exit(f"more than {LIMIT_GIB} GiB")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--task"]:
        tasks = dict(make_folder=make_folder, make_xl_folder=make_xl_folder, make_ckpt=make_ckpt,
                     check_single=check_single,
                     run_diffusers=lambda folder, steps, size, *out: run_diffusers(folder, int(steps), int(size), *out))
        tasks[sys.argv[2]](*sys.argv[3:])
    else:
        parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
        parser.add_argument("limn", metavar="LIMN_PROGRAM")
        parser.add_argument("work", metavar="WORK_FOLDER")
        parser.add_argument("--family", choices=LAYOUTS, default="sd1")
        parser.add_argument("--steps", type=int, default=3)
        parser.add_argument("--size", type=int)
        arguments = parser.parse_args()
        main(os.path.abspath(arguments.limn), os.path.abspath(arguments.work), arguments.family, arguments.steps,
             arguments.size or SIZES[arguments.family])
