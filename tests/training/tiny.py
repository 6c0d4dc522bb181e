# SPDX-License-Identifier: Apache-2.0
"""A tiny data set and tiny models for tests of `limn data` and `limn train`: made with the standard library alone."""
import json
import pathlib
import random
import struct
import subprocess
import zlib


def png(width, height, pixel):
    """An RGB PNG of pixel(x, y) -> (r, g, b)."""
    rows = b"".join(b"\0" + bytes(v for x in range(width) for v in pixel(x, y)) for y in range(height))
    chunk = lambda kind, data: struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def pictures(folder, count=48, side=32, seed=0):
    """Discs and squares of several colours with captions and licences."""
    rng = random.Random(seed)
    folder.mkdir(parents=True, exist_ok=True)
    colours = {"red": (220, 40, 40), "green": (40, 180, 60), "blue": (40, 80, 220), "yellow": (240, 210, 50)}
    for i in range(count):
        name = rng.choice(sorted(colours))
        colour, round_ = colours[name], rng.random() < 0.5
        cx, cy, r = rng.uniform(10, 22), rng.uniform(10, 22), rng.uniform(6, 10)
        shade = rng.randrange(200, 256)

        def pixel(x, y):
            dx, dy = x - cx, y - cy
            inside = dx * dx + dy * dy < r * r if round_ else abs(dx) < r and abs(dy) < r
            return colour if inside else (shade, shade, (x * 3 + y * 5 + i * 7) % 56 + 200)

        (folder / f"{i:03}.png").write_bytes(png(side, side, pixel))
        row = {"caption": f"a {name} {'disc' if round_ else 'square'}", "licence": "CC0-1.0", "attribution": "tests",
               "split": "validation" if i % 8 == 0 else "train"}
        (folder / f"{i:03}.json").write_text(json.dumps(row))


def data_set(limn, folder, side=32, **options):
    pictures(folder / "pictures", side=side, **options)
    run(limn, "data", "add", folder / "set", folder / "pictures", "--people", "none")
    run(limn, "data", "build", folder / "set", "--resolution", side, "--near-duplicates", "-1")
    return folder / "set"


def run(limn, *arguments, expect=0):
    result = subprocess.run([str(limn), *map(str, arguments)], capture_output=True, text=True)
    if result.returncode != expect:
        raise SystemExit(f"limn {' '.join(map(str, arguments))}: exit {result.returncode}\n{result.stdout}{result.stderr}")
    return result


VAE = dict(_class_name="AutoencoderKL", in_channels=3, out_channels=3, latent_channels=4, layers_per_block=1,
           block_out_channels=[8, 16, 16], norm_num_groups=4, sample_size=32, mid_block_add_attention=False,
           down_block_types=["DownEncoderBlock2D"] * 3, up_block_types=["UpDecoderBlock2D"] * 3)
UNET = dict(_class_name="UNet2DConditionModel", sample_size=8, in_channels=4, out_channels=4, layers_per_block=1,
            block_out_channels=[16, 32], cross_attention_dim=32, attention_head_dim=4, norm_num_groups=4,
            down_block_types=["CrossAttnDownBlock2D", "DownBlock2D"],
            up_block_types=["UpBlock2D", "CrossAttnUpBlock2D"])
TEXT = dict(architectures=["CLIPTextModel"], model_type="clip_text_model", vocab_size=49408, hidden_size=32,
            intermediate_size=64, num_hidden_layers=1, num_attention_heads=2, max_position_embeddings=77,
            hidden_act="quick_gelu", layer_norm_eps=1e-5, bos_token_id=49406, eos_token_id=49407, pad_token_id=49407)


def configs(folder):
    """Model configurations; returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, config in dict(vae=VAE, unet=UNET, text_encoder=TEXT).items():
        (folder / f"{name}.json").write_text(json.dumps(config))
    return folder


def toml(sections):
    """TOML text of {section: {key: value}}."""
    out = []
    for section, rows in sections.items():
        out.append(f"[{section}]")
        out += [f"{key} = {json.dumps(str(v) if isinstance(v, pathlib.Path) else v)}" for key, v in rows.items()]
    return "\n".join(out) + "\n"


def config_file(path, sections):
    path.write_text(toml(sections))
    return path


def autoencoder(data, models, samples=160):
    return {"run": {"task": "autoencoder", "samples": samples, "seed": 3, "precision": "float32"},
            "model": {"autoencoder": models / "vae.json", "save_dtype": "float32"},
            "data": {"path": data, "batch_size": 4, "horizontal_flip": 0.5},
            "autoencoder": {"crop": 0, "frequency_weight": 0.1, "perceptual_weight": 0.1, "adversarial_weight": 0.1,
                            "discriminator_start": 10, "discriminator_channels": 8},
            "optimizer": {"learning_rate": 2e-3, "warmup_steps": 5}, "ema": {"kind": "power"},
            "checkpoint": {"every": 16, "keep": 2}, "log": {"every": 5},
            "validation": {"every": 80, "samples": 4}, "preview": {"every": 80}}


def diffusion(data, models, vae, samples=160):
    return {"run": {"task": "diffusion", "samples": samples, "seed": 3, "precision": "float32"},
            "model": {"autoencoder": vae, "unet": models / "unet.json", "text_encoder": models / "text_encoder.json",
                      "train_text_encoder": True, "max_tokens": 16, "save_dtype": "float32"},
            "data": {"path": data, "batch_size": 4, "accumulation": 2, "cache_latents": True},
            "objective": {"prediction": "v_prediction", "weighting": "min_snr", "zero_terminal_snr": True,
                          "timesteps": "low_discrepancy", "offset_noise": 0.05},
            "optimizer": {"learning_rate": 1e-3, "warmup_steps": 5}, "ema": {"kind": "constant", "decay": 0.99},
            "checkpoint": {"every": 16, "keep": 2}, "log": {"every": 5},
            "validation": {"every": 80, "samples": 4},
            "preview": {"every": 80, "prompts": ["a red disc"], "steps": 2, "memorisation_samples": 2}}


def adapting(task, data_set, base, samples=160, **sections):
    out = {"run": {"task": task, "samples": samples, "seed": 3, "precision": "float32"},
           "model": {"base": base, "save_dtype": "float32"},
           "data": {"path": data_set, "batch_size": 4},
           "objective": {"prediction": "v_prediction"},
           "optimizer": {"learning_rate": 1e-3}, "checkpoint": {"every": 16, "keep": 2}, "log": {"every": 5}}
    for name, rows in sections.items():
        out.setdefault(name, {}).update(rows)
    return out
