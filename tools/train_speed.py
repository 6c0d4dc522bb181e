# SPDX-License-Identifier: Apache-2.0
"""Throughput of training steps: limn against the same model in Python diffusers, interleaved on this machine.

    train_speed.py LIMN DATA AUTOENCODER [--rounds 3] [--samples 640] [--batch 32] [--precision float32|bfloat16]

DATA is a data set built at 128 × 128, AUTOENCODER the folder of a trained one (configs/embedded). Both sides train the
embedded model's U-Net and text encoder on cached latents: v-prediction, AdamW (fused), clipping, gradient norm. Python
gets its latents from memory, limn reads its cache. Prints samples per second of each round and the ratio of medians.
"""
import argparse
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

parser = argparse.ArgumentParser()
parser.add_argument("limn"), parser.add_argument("data"), parser.add_argument("autoencoder")
parser.add_argument("--rounds", type=int, default=3)
parser.add_argument("--samples", type=int, default=640)
parser.add_argument("--batch", type=int, default=32)
parser.add_argument("--precision", default="float32")
parser.add_argument("--python-side", action="store_true")
a = parser.parse_args()
configs = pathlib.Path(__file__).resolve().parent.parent / "configs" / "embedded"
TOKENS = 32


def python_side():
    import torch
    from diffusers import DDIMScheduler, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel
    torch.manual_seed(0)
    torch.set_flush_denormal(True)
    unet = UNet2DConditionModel.from_config(json.loads((configs / "unet.json").read_text()))
    unet = unet.to(memory_format=torch.channels_last).train()
    text = json.loads((configs / "text_encoder.json").read_text())
    text["max_position_embeddings"] = TOKENS
    text = CLIPTextModel(CLIPTextConfig(**text)).train()
    scheduler = DDIMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear",
                              prediction_type="v_prediction", rescale_betas_zero_snr=True)
    parameters = [*unet.parameters(), *text.parameters()]
    optimizer = torch.optim.AdamW(parameters, 5e-4, betas=(0.9, 0.99), weight_decay=0.01, fused=True)
    latents = torch.randn(512, 8, 16, 16)
    ids = torch.randint(0, 49408, (512, TOKENS))
    times = []
    for _ in range(a.samples // a.batch):
        began = time.perf_counter()
        pick = torch.randint(0, 512, (a.batch,))
        x0, noise, t = latents[pick], torch.randn(a.batch, 8, 16, 16), torch.randint(0, 1000, (a.batch,))
        noisy = scheduler.add_noise(x0, noise, t).contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16, enabled=a.precision == "bfloat16"):
            output = unet(noisy, t, text(ids[pick])[0]).sample
        loss = ((output.float() - scheduler.get_velocity(x0, noise, t)) ** 2).mean()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        loss.item()
        times.append(time.perf_counter() - began)
    print(a.batch / statistics.median(times[2:]))


def limn_side(folder):
    config = folder / "speed.toml"
    text = (configs / "denoiser.toml").read_text()
    for name in ("unet.json", "text_encoder.json"):
        text = text.replace(f'"{name}"', json.dumps(str(configs / name)))
    text = text.replace('"../../build/embedded/autoencoder/vae"', json.dumps(str(pathlib.Path(a.autoencoder).resolve())))
    text = text.replace('"../../build/embedded/data"', json.dumps(str(pathlib.Path(a.data).resolve())))
    sections = text.split("[checkpoint]")[0].replace("[run]", f'[run]\nprecision = "{a.precision}"')
    sections = sections.replace("batch_size = 32", f"batch_size = {a.batch}").replace('kind = "power"', 'kind = "none"')
    config.write_text(sections + "[log]\nevery = 1\n")
    run = folder / "run"
    subprocess.run(["rm", "-rf", run / "checkpoints", run / "log.jsonl"], check=True)  # the cache of latents stays
    subprocess.run([a.limn, "train", config, "--output", run, "--max-samples", str(a.samples), "--quiet"], check=True)
    rows = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    speeds = [row["samples_per_second"] for row in rows if "samples_per_second" in row][2:]
    waiting = [row["loading_share"] for row in rows if "loading_share" in row][2:]
    return statistics.median(speeds), statistics.median(waiting)


if a.python_side:
    python_side()
    sys.exit()
with tempfile.TemporaryDirectory() as name:
    folder = pathlib.Path(name)
    limn_side(folder)  # makes the cache of latents
    ours, theirs = [], []
    for round_ in range(a.rounds):
        speed, waiting = limn_side(folder)
        ours.append(speed)
        command = [sys.executable, __file__, *sys.argv[1:], "--python-side"]
        theirs.append(float(subprocess.run(command, check=True, capture_output=True, text=True).stdout))
        print(f"round {round_ + 1}: limn {ours[-1]:.2f} samples/s ({100 * waiting:.1f} % waiting for data), "
              f"diffusers {theirs[-1]:.2f}", flush=True)
    print(f"{a.precision}, batch {a.batch}: limn / diffusers = {statistics.median(ours) / statistics.median(theirs):.2f}")
