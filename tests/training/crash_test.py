# SPDX-License-Identifier: Apache-2.0
"""Kills `limn train` with SIGKILL at random moments and resumes it until it ends: weights, averages, optimizer and the
model written must be the same bytes as those of a run that was never killed.

    crash_test.py LIMN [KILLS]
"""
import filecmp
import pathlib
import random
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import tiny

limn, kills = pathlib.Path(sys.argv[1]).resolve(), int(sys.argv[2]) if len(sys.argv) > 2 else 3


def files(folder):
    return sorted(p.relative_to(folder) for p in folder.rglob("*") if p.suffix == ".safetensors")


def compare(whole, killed):
    names = files(whole)
    last = max(p for p in names if p.parts[0] == "checkpoints")
    wanted = [p for p in names if p.parts[0] != "checkpoints"] + [last]
    assert last in files(killed), f"{last} was not written by the killed run: {files(killed)}"
    for name in wanted:
        assert filecmp.cmp(whole / name, killed / name, shallow=False), f"{name} differs"
    return len(wanted)


def check(config, folder, kills, rng):
    began = time.monotonic()
    tiny.run(limn, "train", config, "--output", folder / "whole", "--quiet", "--threads", 1)
    duration = time.monotonic() - began
    done = 0
    while True:
        command = [limn, "train", config, "--output", folder / "killed", "--resume", "--quiet", "--threads", "1"]
        process = subprocess.Popen([str(a) for a in command], stderr=subprocess.PIPE, text=True)
        if done < kills:
            time.sleep(rng.uniform(0.05, 1.0) * duration * (0.9 if done % 2 else 0.5))
            process.kill()
            done += process.wait() == -9
            if process.returncode in (-9, 0):
                continue
        error = process.communicate()[1]
        if process.returncode != 0:
            raise SystemExit(f"after {done} kills: exit {process.returncode}: {error}")
        if done >= kills:
            break
    return compare(folder / "whole", folder / "killed"), done


with tempfile.TemporaryDirectory() as name:
    folder, rng = pathlib.Path(name), random.Random(kills)
    data, models = tiny.data_set(limn, folder), tiny.configs(folder / "models")
    for task in ("autoencoder", "diffusion"):
        place = folder / task
        place.mkdir()
        sections = (tiny.autoencoder(data, models) if task == "autoencoder" else
                    tiny.diffusion(data, models, folder / "autoencoder" / "whole" / "vae"))
        config = tiny.config_file(place / "run.toml", sections)
        compared, done = check(config, place, kills, rng)
        print(f"{task}: killed {done} times, {compared} files of equal bytes", flush=True)
