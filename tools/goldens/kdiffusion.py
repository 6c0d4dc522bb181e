#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs k-diffusion's samplers, torchsde's Brownian trees and reference formulas, for limn/schedulers/kdiffusion_test.cpp.

    OMP_NUM_THREADS=1 python tools/goldens/kdiffusion.py

Writes limn/schedulers/testdata/kdiffusion.json (the cases) and kdiffusion.safetensors. As in schedulers.py the model's
outputs do not depend on the sample. Restart, CFG++ and A1111's noise are not in k-diffusion: they are written here after
their papers and descriptions.
"""
import json
import pathlib

import numpy as np
import torch
import torchsde
from safetensors.torch import save_file

from kdiffusion_sampling import SCHEDULES, S

FOLDER = pathlib.Path(__file__).resolve().parents[2] / "limn" / "schedulers" / "testdata"
SEEDS = [7, 8]
OUTPUTS = 16


def restart_reference(model, x, sigmas, noise):
    """Xu et al. 2023, algorithm 1, with the parameters A1111 chooses by the number of steps."""
    steps = len(sigmas) - 1
    rounds = None
    if steps >= 20:
        each, times = (9, 1) if steps < 36 else (steps // 4, 2)
        sigmas = S.get_sigmas_karras(steps - each * times, float(sigmas[-2]), float(sigmas[0]))
        low, high = int((sigmas - 0.1).abs().argmin()), int((sigmas - 2).abs().argmin())
        if high < low:
            rounds = (low, S.get_sigmas_karras(each + 1, float(sigmas[low]), float(sigmas[high]))[:-1], times)
    pairs = []
    for i in range(len(sigmas) - 1):
        pairs.append((sigmas[i], sigmas[i + 1]))
        if rounds and i + 1 == rounds[0]:
            pairs += list(zip(rounds[1][:-1], rounds[1][1:])) * rounds[2]
    last = None
    for a, b in pairs:
        if last is not None and last < a:
            x = x + noise(last, a) * (a**2 - last**2)**0.5
        d = (x - model(x, a)) / a
        euler = x + d * (b - a)
        x = euler if b == 0 else x + (d + (euler - model(euler, b)) / b) / 2 * (b - a)
        last = b
    return x


def cfg_pp(kind):
    def run(model, x, sigmas, noise):
        old = None
        for i in range(len(sigmas) - 1):
            a, b = sigmas[i], sigmas[i + 1]
            guided, unconditional = model(x, a), model.unconditional(x, a)
            if kind == "euler":
                x = guided + (x - unconditional) / a * b
            elif kind == "ancestral":
                down, up = S.get_ancestral_step(a, b)
                x = guided + (x - unconditional) / a * down
                if b > 0:
                    x = x + noise(a, b) * up
            elif kind == "2s":  # after what ComfyUI's users describe: from the sample moved by what the prompt changed
                down, up = S.get_ancestral_step(a, b)
                if down == 0:
                    x = guided
                else:
                    half, moved = (a * down)**0.5, x + guided - unconditional
                    middle = half / a * moved + (1 - (down / a)**0.5) * guided
                    x = down / a * moved + (1 - down / a) * model(middle, half)
                if b > 0:
                    x = x + noise(a, b) * up
            else:
                kept = b / a
                mixed = -kept * unconditional
                if old is not None and b > 0:
                    r = (sigmas[i - 1] / a).log() / (a / b).log()
                    mixed = mixed + (1 - kept) / (2 * r) * (guided - old)
                x, old = guided + mixed + kept * x, unconditional
        return x
    return run


def lcm(model, x, sigmas, noise):
    for i in range(len(sigmas) - 1):
        x = model(x, sigmas[i])
        if sigmas[i + 1] > 0:
            x = x + noise(sigmas[i], sigmas[i + 1]) * sigmas[i + 1]
    return x


def adapt(function, **more):
    return lambda model, x, sigmas, noise: function(model, x, sigmas, disable=True, **more,
                                                    **({"noise_sampler": noise} if noise else {}))


def by_range(function):
    def run(model, x, sigmas, noise):
        more = {"n": len(sigmas) - 1} if function is S.sample_dpm_fast else {}
        return function(model, x, float(sigmas[sigmas > 0].min()), float(sigmas[0]), disable=True, eta=1.0,
                        noise_sampler=noise, **more)
    return run


INDEPENDENT, BROWNIAN, NONE = "independent", "brownian", None
SAMPLERS = {
    "euler": (adapt(S.sample_euler), NONE), "heun": (adapt(S.sample_heun), NONE),
    "euler_ancestral": (adapt(S.sample_euler_ancestral), INDEPENDENT), "lms": (adapt(S.sample_lms), NONE),
    "dpm2": (adapt(S.sample_dpm_2), NONE), "dpm2_ancestral": (adapt(S.sample_dpm_2_ancestral), INDEPENDENT),
    "dpmpp_2s_ancestral": (adapt(S.sample_dpmpp_2s_ancestral), INDEPENDENT),
    "dpmpp_sde": (adapt(S.sample_dpmpp_sde), BROWNIAN), "k_dpmpp_2m": (adapt(S.sample_dpmpp_2m), NONE),
    "dpmpp_2m_sde": (adapt(S.sample_dpmpp_2m_sde), BROWNIAN),
    "dpmpp_2m_sde_heun": (adapt(S.sample_dpmpp_2m_sde, solver_type="heun"), BROWNIAN),
    "dpmpp_3m_sde": (adapt(S.sample_dpmpp_3m_sde), BROWNIAN), "dpm_fast": (by_range(S.sample_dpm_fast), INDEPENDENT),
    "dpm_adaptive": (by_range(S.sample_dpm_adaptive), INDEPENDENT), "restart": (restart_reference, INDEPENDENT),
    "k_lcm": (lcm, INDEPENDENT), "euler_cfg_pp": (cfg_pp("euler"), NONE),
    "euler_ancestral_cfg_pp": (cfg_pp("ancestral"), INDEPENDENT), "dpmpp_2m_cfg_pp": (cfg_pp("2m"), NONE),
    "dpmpp_2s_ancestral_cfg_pp": (cfg_pp("2s"), INDEPENDENT),
}


class Model:
    """Output i % OUTPUTS at call i, whatever the sample; or, for a sampler that looks at its own error, one that depends."""

    def __init__(self, outputs, prediction, depends):
        self.outputs, self.prediction, self.depends, self.calls = outputs, prediction, depends, []

    def denoised(self, x, sigma, output):
        if self.prediction == "v_prediction":
            return x / (sigma**2 + 1) - output * sigma / (sigma**2 + 1)**0.5
        return x - sigma * output

    def __call__(self, x, sigma, **_):
        sigma = torch.as_tensor(sigma).flatten()[0]
        self.calls.append(float(sigma))
        if self.depends:
            return self.denoised(x, sigma, torch.tanh(x / (sigma**2 + 1)**0.5) * 0.7)
        return self.denoised(x, sigma, self.outputs[(len(self.calls) - 1) % OUTPUTS])

    def unconditional(self, x, sigma):
        return self.denoised(x, sigma, -0.5 * self.outputs[(len(self.calls) - 1) % OUTPUTS])


def noise_of(kind, x, sigmas):
    if kind == BROWNIAN:
        return S.BrownianTreeNoiseSampler(x, sigmas[sigmas > 0].min(), sigmas.max(), seed=SEEDS)
    if kind == INDEPENDENT:
        generators = [torch.Generator().manual_seed(s) for s in SEEDS]
        return lambda a, b: torch.cat([torch.randn((1, *x.shape[1:]), generator=g) for g in generators])
    return None


def slerp(share, low, high):
    """Along dimension 1 of [channels, height, width], as the web UI does it, the odd mix of near ones included."""
    unit = lambda x: x / torch.norm(x, dim=1, keepdim=True)
    dot = (unit(low) * unit(high)).sum(1)
    if dot.mean() > 0.9995:
        return low * share + high * (1 - share)
    omega = torch.acos(dot)
    return (torch.sin((1 - share) * omega) / omega.sin()).unsqueeze(1) * low + (
        torch.sin(share * omega) / omega.sin()).unsqueeze(1) * high


def noise_references(tensors):
    """Variation seeds and noise of another size, written after fidelity notes of the web UI's 1.10."""
    draw = lambda seed, shape: torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    a, b = draw(5, (4, 6, 8)), draw(99, (4, 6, 8))
    tensors["variation.0.3"] = slerp(0.3, a, b)
    tensors["slerp.near"] = slerp(0.25, a, a * 1.001)
    for name, (h, w) in {"smaller": (4, 10), "larger": (8, 6), "odd": (9, 9)}.items():
        small, whole = draw(5, (4, h, w)), draw(5, (4, 6, 8))  # two generators of one seed
        dy, dx = (6 - h) // 2, (8 - w) // 2
        th, tw = (h if dy >= 0 else h + 2 * dy), (w if dx >= 0 else w + 2 * dx)
        ty, tx, fy, fx = max(dy, 0), max(dx, 0), max(-dy, 0), max(-dx, 0)
        whole[:, ty:ty + th, tx:tx + tw] = small[:, fy:fy + th, fx:fx + tw]
        tensors[f"resize.{name}"] = whole


def main():
    g = torch.Generator().manual_seed(2025)
    outputs, start = torch.randn(OUTPUTS, 2, 4, 4, 4, generator=g), torch.randn(2, 4, 4, 4, generator=g)
    tensors, cases = {"outputs": outputs, "start": start}, []
    for name, make in SCHEDULES.items():
        for n in (1, 2, 4, 10, 11, 25, 60):
            if n == 1 and name in ("kl_optimal", "align_your_steps"):
                continue  # 0 / 0 there
            tensors[f"schedule.{name}.{n}"] = make(n).float().contiguous()
    for name, (run, kind) in SAMPLERS.items():
        for schedule, steps, prediction, begin in [
                ("karras", 10, "epsilon", 0), ("karras", 25, "v_prediction", 0), ("normal", 5, "epsilon", 0),
                ("exponential", 40, "epsilon", 0), ("karras", 4, "epsilon", 0), ("karras", 12, "epsilon", 5)]:
            sigmas = SCHEDULES[schedule](steps).float()
            model = Model(outputs, prediction, name == "dpm_adaptive")
            noise = noise_of(kind, start, sigmas)
            final = run(model, start * sigmas[begin], sigmas[begin:], noise)
            key = f"{len(cases):03d}"
            cases.append(dict(name=key, sampler=name, schedule=schedule, steps=steps, prediction=prediction, begin=begin))
            tensors[f"{key}.final"] = final.float().contiguous()
            tensors[f"{key}.calls"] = torch.tensor(model.calls, dtype=torch.float64)
    tree = torchsde.BrownianTree(0.0292, torch.zeros(4, 3, 5), 14.6146, entropy=2**40 + 11)
    pairs = [(14.6146, 9.1), (9.1, 2.0), (2.0, 0.5), (0.5, 0.0292), (3.1, 3.05), (14.6146, 0.0292)]
    for i, (a, b) in enumerate(pairs):
        a32, b32 = torch.tensor(a), torch.tensor(b)
        tensors[f"brownian.{i}"] = -tree(b32, a32) / (b32 - a32).abs().sqrt()
    tensors["seed_sequence"] = torch.tensor(np.random.SeedSequence(
        entropy=2**40 + 11, spawn_key=(5, 3), pool_size=24).generate_state(6).astype(np.int64))
    noise_references(tensors)
    about = {"made_by": "tools/goldens/kdiffusion.py", "torch": torch.__version__, "torchsde": torchsde.__version__,
             "k-diffusion": "0.1.1.post1"}
    save_file({k: v.contiguous() for k, v in tensors.items()}, FOLDER / "kdiffusion.safetensors", about)
    (FOLDER / "kdiffusion.json").write_text(json.dumps(dict(seeds=SEEDS, brownian=pairs, cases=cases), indent=1))
    print(len(cases), "cases")


if __name__ == "__main__":
    main()
