# SPDX-License-Identifier: Apache-2.0
"""Every task of `limn train` from a data set to what it writes, with the program itself; and what bad input gets.

    train_test.py LIMN
"""
import json
import os
import pathlib
import re
import socket
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import tiny

limn = pathlib.Path(sys.argv[1]).resolve()


def train(folder, name, sections, *more, expect=0):
    config = tiny.config_file(folder / f"{name}.toml", sections)
    return tiny.run(limn, "train", config, "--output", folder / name, "--threads", 1, *more, expect=expect)


def log(folder):
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def losses(folder):
    return [row["loss"] for row in log(folder) if "loss" in row]


def draws(folder, model, output, *more):
    tiny.run(limn, "generate", "a red disc", "--model", model, "--steps", 2, "--seed", 1, "--width", 32, "--height", 32,
             "--output", folder / output, "--save-latents", folder / (output + ".safetensors"), "--quiet", *more)
    return (folder / (output + ".safetensors")).read_bytes()


def fails(folder, sections, *texts, arguments=(), name="bad", expect=2):
    result = train(folder, name, sections, *arguments, expect=expect)
    for text in texts:
        assert text in result.stderr, f"expected '{text}' in: {result.stderr}"


with tempfile.TemporaryDirectory() as name:
    folder = pathlib.Path(name)
    data, models = tiny.data_set(limn, folder), tiny.configs(folder / "models")

    train(folder, "vae", tiny.autoencoder(data, models, samples=400))
    found = losses(folder / "vae")
    assert sum(found[-4:]) < 0.9 * sum(found[:4]), f"the autoencoder's loss does not fall: {found}"
    assert (folder / "vae" / "vae" / "config.json").exists() and (folder / "vae" / "report.html").exists()
    assert any("validation/psnr" in row for row in log(folder / "vae"))
    print("autoencoder: loss", found[0], "→", found[-1])

    words = {"words": ["a", "red", "green", "blue", "yellow", "disc", "square"], "subjects": ["disc", "square"], "related": {"ball": ["disc"]}}
    (folder / "vocabulary.json").write_text(json.dumps(words))
    sections = tiny.diffusion(data, models, folder / "vae" / "vae", samples=800)
    sections["model"]["vocabulary"] = folder / "vocabulary.json"
    train(folder, "base", sections)
    found = losses(folder / "base")
    assert sum(found[-4:]) < 0.95 * sum(found[:4]), f"the denoiser's loss does not fall: {found}"
    base = folder / "base" / "model"
    card = (base / "README.md").read_text()
    assert "CC0-1.0" in card and "samples seen: 800" in card and "held out" in card
    assert any(key.startswith("validation/t") for row in log(folder / "base") for key in row)
    assert list((folder / "base" / "samples").glob("*.png")) and list((folder / "base").glob("events.out.tfevents.*"))
    plain = draws(folder, base, "plain.png")
    said = tiny.run(limn, "generate", "a red ball, a disk", "--model", base, "--steps", 1, "--output", folder / "ball.png").stderr
    assert "not in this model's subjects: ball (it knows disc); disk (it knows disc)" in said, said
    sources = json.loads(tiny.run(limn, "info", "--sources", "a red disc", "--model", base, "--count", 3, "--json").stdout)
    assert sources["trained_on"] == 42 and sources["words"][0]["caption"] == "a red disc", sources
    assert sources["words"][0]["licence"] == "CC0-1.0" and sources["words"][0]["attribution"] == "tests"
    looks = tiny.run(limn, "info", "--sources", folder / "pictures" / "001.png", "--model", base).stdout
    assert "look alike:\n  100 %" in looks and "captions" not in looks, looks
    drawn = tiny.run(limn, "info", "--sources", folder / "plain.png", "--model", base).stdout
    assert 'captions are like "a red disc"' in drawn, drawn
    print("diffusion: loss", found[0], "→", found[-1])

    flow = tiny.diffusion(data, models, folder / "vae" / "vae", samples=200)
    flow["objective"] = {"prediction": "flow"}
    train(folder, "flow", flow)
    assert list((folder / "flow" / "samples").glob("*.png")), "a run of flow matching draws no samples"
    draws(folder, folder / "flow" / "model", "flow.png")
    tiny.run(limn, "generate", "x", "--model", folder / "flow" / "model", "--scheduler", "ddim", "--quiet", expect=2)
    print("flow matching")

    for task, sections, written in [
            ("finetune", {}, "model"),
            ("lora", {"lora": {"rank": 2, "conv_rank": 2, "alpha": 4.0}, "model": {"train_text_encoder": True}}, "lora.safetensors"),
            ("dreambooth", {"dreambooth": {"class_data": data, "prior_weight": 0.5}, "run": {"gradient_checkpointing": True}}, "model"),
            ("textual_inversion", {"textual_inversion": {"token": "<it>", "initializer": "disc", "vectors": 2}}, "embedding.safetensors")]:
        train(folder, task, tiny.adapting(task, data, base, **sections))
        assert (folder / task / written).exists(), task
        if written == "model":
            assert draws(folder, folder / task / "model", task + ".png") != plain, f"{task} changed nothing"
        print(task, "wrote", written)
    for task, written in (("finetune", "model"), ("lora", "lora.safetensors")):
        train(folder, task + "-fast", tiny.adapting(task, data, base, distillation={"steps": 20, "guidance_scale": 3.0}))
        assert (folder / (task + "-fast") / written).exists()
    fast = folder / "finetune-fast" / "model"
    assert json.loads((fast / "scheduler" / "scheduler_config.json").read_text())["_class_name"] == "LCMScheduler"
    draws(folder, fast, "fast.png")
    print("distilled")
    for layout in ("diffusers", "kohya"):
        sections = tiny.adapting("lora", data, base, lora={"rank": 2, "layout": layout})
        train(folder, layout, sections)
    lora = {layout: draws(folder, base, layout + ".png", "--lora", folder / layout / "lora.safetensors")
            for layout in ("diffusers", "kohya")}
    assert lora["diffusers"] == lora["kohya"] != plain, "the layouts of one LoRA must draw the same"

    # Two processes with batch 2 are one with batch 4; and a lost one ends the other, not the run.
    def processes(name, sections, count, kill=None):
        config, port = tiny.config_file(folder / f"{name}.toml", sections), free_port()
        command = [str(limn), "train", str(config), "--output", str(folder / name), "--threads", "1", "--resume"]
        started = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env={**os.environ, "RANK": str(rank),
                   "WORLD_SIZE": str(count), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}) for rank in range(count)]
        if kill is not None:
            while not list((folder / name).glob("checkpoints/0*")):
                assert started[0].poll() is None, started[0].communicate()[1]
                time.sleep(0.05)
            started[kill].kill()
        return [(process.wait(timeout=120), process.stderr.read()) for process in started]

    both = {size: tiny.adapting("lora", data, base, data={"batch_size": size}, model={"train_text_encoder": True}) for size in (2, 4)}
    train(folder, "alone", both[4])
    for status, error in processes("together", both[2], 2):
        assert status == 0, error
    alone, together = losses(folder / "alone"), losses(folder / "together")
    assert len(alone) == len(together) and all(abs(a - b) < 1e-5 * a for a, b in zip(alone, together)), (alone, together)
    long = {**both[2], "run": {**both[2]["run"], "samples": 100000}}
    (status, error), _ = processes("lost", long, 2, kill=1)
    assert status == 6 and "another process of the run is gone" in error, (status, error)
    assert list((folder / "lost").glob("checkpoints/0*/state.json"))
    print("two processes: losses of one with twice the batch; a lost peer ends with status 6")

    good = tiny.adapting("lora", data, base)
    fails(folder, {**good, "optimizer": {"lerning_rate": 1.0}}, "did you mean optimizer.learning_rate?")
    fails(folder, {**good, "objective": {"prediction": "epsilon"}}, "but the model predicts v_prediction")
    fails(folder, {**good, "lora": {"targets": ["nothing"]}}, "match no layer")
    fails(folder, {**good, "objective": {"prediction": "flow"}, "distillation": {"steps": 20}}, "flow matching has none")
    fails(folder, {**good, "data": {"path": folder / "nowhere"}}, "nowhere", expect=3)
    fails(folder, {**good, "model": {"base": folder / "nowhere"}}, "nowhere", expect=3)
    fails(folder, good, "holds a run that was begun", "--resume", name="lora")
    result = train(folder, "diffusers", {**good, "lora": {"rank": 4}}, "--resume", expect=2)
    assert re.search(r"lora\.rank: 2 then, 4 now", result.stderr), result.stderr
    print("bad input: as it should be")
