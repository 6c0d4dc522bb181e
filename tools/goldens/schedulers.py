#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs diffusers' schedulers over many configurations and stores what they did, for limn/schedulers/goldens_test.cpp.

    OMP_NUM_THREADS=1 python tools/goldens/schedulers.py

Writes limn/schedulers/testdata/schedulers.json (the cases) and schedulers.safetensors:
  original, noise [2, 4, 4, 4]   a clean sample, and noise
  outputs [N, 2, 8, 4, 4]        model outputs of call i % N; channels from the fifth on are in (0, 1), fit for variances
  <case>.timesteps, .sigmas, .init_noise_sigma, .start, .final, and .samples for short runs
The model outputs are random and do not depend on the sample: any wrong coefficient shows in the final sample.
"""
import json
import pathlib
import warnings

import diffusers
import torch
from safetensors.torch import save_file

warnings.filterwarnings("ignore")
diffusers.utils.logging.set_verbosity_error()

FOLDER = pathlib.Path(__file__).resolve().parents[2] / "limn" / "schedulers" / "testdata"
SEED = 2024
NOISE_SEEDS = [7, 8]
OUTPUTS = 16  # call i gets output i % OUTPUTS
SHORT = 3  # runs of at most so many steps keep every sample

SD = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "steps_offset": 1}
V = {"prediction_type": "v_prediction"}
X0 = {"prediction_type": "sample"}
ZERO_SNR = {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing", **V}
LEADING, LINSPACE, TRAILING = ({"timestep_spacing": s} for s in ("leading", "linspace", "trailing"))
KARRAS, EXPONENTIAL, BETA = ({f"use_{s}_sigmas": True} for s in ("karras", "exponential", "beta"))
RANGE = {"sigma_min": 0.1, "sigma_max": 10.0}
SIGMA_MIN = {"final_sigmas_type": "sigma_min"}
COSINE = {"beta_schedule": "squaredcos_cap_v2"}
LINEAR = {"beta_schedule": "linear", "beta_start": 0.0001, "beta_end": 0.02}
TRAINED = {"num_train_timesteps": 60, "trained_betas": [round(0.001 + 0.004 * i, 6) for i in range(60)]}
THRESHOLD = {"thresholding": True, "dynamic_thresholding_ratio": 0.9, "sample_max_value": 1.5}
CLIP = {"clip_sample": True, "clip_sample_range": 1.2}
NO_CLIP = {"clip_sample": False}
COMMON = [{}, LEADING, LINSPACE, TRAILING, COSINE, LINEAR, TRAINED]
SIGMAS = [KARRAS, EXPONENTIAL, BETA]
SIGMAS_MORE = [{**k, **m} for k in SIGMAS for m in (LEADING, TRAILING, RANGE)]
MULTISTEP = [
    {"solver_order": 1}, {"solver_order": 3}, {"solver_order": 3, "lower_order_final": False, **SIGMA_MIN},
    {"lower_order_final": False, **SIGMA_MIN}, V, X0, {"solver_order": 3, **V}, THRESHOLD, {**THRESHOLD, **V},
    *SIGMAS, *SIGMAS_MORE, {**KARRAS, **COSINE}]

SHIFTS = [{"shift": 3.0}, {"shift": 0.5}, {"shift": 6.0}]
EDM = [{"sigma_data": 0.5}, {"sigma_data": 0.5, **V}, {"sigma_data": 1.0}]

CLASSES = {
    "DDIMScheduler": (NO_CLIP, [
        *COMMON, V, X0, CLIP, {**CLIP, **V}, {**CLIP, **X0}, THRESHOLD, {**THRESHOLD, **CLIP}, ZERO_SNR,
        {"set_alpha_to_one": False}, {"set_alpha_to_one": False, **TRAILING}]),
    "DDPMScheduler": (NO_CLIP, [
        *COMMON, V, X0, CLIP, THRESHOLD, ZERO_SNR, {"beta_schedule": "laplace"}, {"beta_schedule": "sigmoid"},
        *({"variance_type": t} for t in ("fixed_small_log", "fixed_large", "learned", "learned_range"))]),
    "PNDMScheduler": ({"skip_prk_steps": True, "set_alpha_to_one": False}, [
        *COMMON, V, {"set_alpha_to_one": True}, {"skip_prk_steps": False}, {"skip_prk_steps": False, **V},
        {"skip_prk_steps": False, **TRAILING}, {"skip_prk_steps": False, **LINSPACE}]),
    "EulerDiscreteScheduler": ({}, [
        *COMMON, V, X0, *SIGMAS, *SIGMAS_MORE, SIGMA_MIN, {**KARRAS, **SIGMA_MIN}, ZERO_SNR,
        {"interpolation_type": "log_linear"}, {"interpolation_type": "log_linear", **KARRAS},
        {"timestep_type": "continuous", **V}, {"timestep_type": "continuous"}]),
    "EulerAncestralDiscreteScheduler": ({}, [*COMMON, V, ZERO_SNR]),
    "HeunDiscreteScheduler": ({}, [*COMMON, V, X0, CLIP, *SIGMAS, *SIGMAS_MORE, {"beta_schedule": "exp"}]),
    "LMSDiscreteScheduler": ({}, [*COMMON, V, X0, *SIGMAS, *SIGMAS_MORE]),
    "DPMSolverMultistepScheduler": ({}, [
        *COMMON, *MULTISTEP, ZERO_SNR, {"use_lu_lambdas": True}, {"use_lu_lambdas": True, **COSINE},
        {"use_lu_lambdas": True, **EXPONENTIAL}, {"euler_at_final": True, **SIGMA_MIN},
        {"lambda_min_clipped": -1.5}, {"lambda_min_clipped": -1.5, **LEADING}, {"lambda_min_clipped": -1.5, **TRAILING},
        {"variance_type": "learned"}, {"variance_type": "learned_range", "algorithm_type": "dpmsolver", **SIGMA_MIN},
        {"solver_type": "bh2"}, {"algorithm_type": "deis", **SIGMA_MIN},
        *({"algorithm_type": a, "solver_type": t, "solver_order": o, **SIGMA_MIN, **p}
          for a in ("dpmsolver", "dpmsolver++", "sde-dpmsolver", "sde-dpmsolver++")
          for t in ("midpoint", "heun") for o in (2, 3) for p in ({}, V, X0)
          if not (a == "sde-dpmsolver" and o == 3)),
        *({"algorithm_type": a, **THRESHOLD, **SIGMA_MIN} for a in ("dpmsolver", "sde-dpmsolver", "sde-dpmsolver++")),
        {"algorithm_type": "sde-dpmsolver++", **KARRAS}, {"algorithm_type": "sde-dpmsolver++", "solver_type": "heun"}]),
    "UniPCMultistepScheduler": ({}, [
        *COMMON, *MULTISTEP, ZERO_SNR, {"disable_corrector": [0, 2]}, {"predict_x0": False, **SIGMA_MIN},
        {"predict_x0": False, "solver_order": 3, **SIGMA_MIN, **V}, {"predict_x0": False, **X0, **SIGMA_MIN},
        {"solver_type": "bh1", **SIGMA_MIN}, {"solver_type": "bh1", "solver_order": 3, **SIGMA_MIN},
        {"solver_type": "midpoint"}]),
    "DEISMultistepScheduler": ({}, [
        *COMMON, *(m for m in MULTISTEP if "final_sigmas_type" not in m),
        {"lower_order_final": False}, {"solver_order": 3, "lower_order_final": False}, {"algorithm_type": "dpmsolver++"}]),
    "LCMScheduler": (NO_CLIP, [
        {}, COSINE, LINEAR, V, X0, CLIP, {**CLIP, **V}, THRESHOLD, {"timestep_scaling": 5.0},
        {"original_inference_steps": 100}, {"rescale_betas_zero_snr": True, **V}, {"beta_end": 0.011}]),
    "TCDScheduler": (NO_CLIP, [
        {}, COSINE, LINEAR, V, X0, {"original_inference_steps": 100}, {"rescale_betas_zero_snr": True, **V},
        {"beta_end": 0.011}]),
    "KDPM2DiscreteScheduler": ({}, [*COMMON, V, *SIGMAS, *SIGMAS_MORE]),
    "DPMSolverSDEScheduler": ({}, [*COMMON, *SIGMAS, *({**k, **m} for k in SIGMAS for m in (LEADING, TRAILING))]),
    "FlowMatchEulerDiscreteScheduler": ({}, [
        {}, *SHIFTS, *SIGMAS, *({**k, **SHIFTS[1]} for k in SIGMAS), {"shift_terminal": 0.1},
        {"shift_terminal": 0.02, **SHIFTS[0]}, {"stochastic_sampling": True}, {"stochastic_sampling": True, **SHIFTS[1]}]),
    "FlowMatchHeunDiscreteScheduler": ({}, [{}, *SHIFTS, *({**s, "num_train_timesteps": 500} for s in SHIFTS)]),
    "EDMEulerScheduler": ({}, [
        *EDM, {"sigma_schedule": "exponential", "sigma_data": 1.0, "sigma_max": 120.0, **V}, SIGMA_MIN,
        {"rho": 5.0}, {"sigma_min": 0.01, "sigma_max": 20.0}, {"sigma_schedule": "exponential", **SIGMA_MIN}]),
    "EDMDPMSolverMultistepScheduler": ({}, [
        *EDM, {"sigma_schedule": "exponential", "sigma_data": 1.0, "sigma_max": 120.0, **V}, {"rho": 5.0},
        {"sigma_min": 0.01, "sigma_max": 20.0}, {"rho": 9.0}, {"sigma_min": 0.01, **V}]),
}


# Draws from one seed for all pictures: its steps are compared with k-diffusion's in kdiffusion.py.
GRIDS_ALONE = ("DPMSolverSDEScheduler",)


def bank():
    generator = torch.Generator().manual_seed(SEED)
    outputs = torch.randn(OUTPUTS, 2, 8, 4, 4, generator=generator)
    outputs[:, :, 4:] = torch.rand(OUTPUTS, 2, 4, 4, 4, generator=generator)
    return {"outputs": outputs,
            "original": torch.randn(2, 4, 4, 4, generator=generator),
            "noise": torch.randn(2, 4, 4, 4, generator=generator)}


def channels_of(case):
    """Of the sample, and of the model's output."""
    if not case["config"].get("variance_type", "").startswith("learned"):
        return 4, 4
    return (3, 6) if case["class"].startswith("DPM") else (4, 8)


def run(case, shared):
    scheduler = getattr(diffusers, case["class"]).from_config(case["config"])
    scheduler.set_timesteps(case["steps"])
    begin = case["begin"]
    channels, output_channels = channels_of(case)
    original, noise = shared["original"][:, :channels], shared["noise"][:, :channels]
    tensors = {"timesteps": scheduler.timesteps.double(),
               "init_noise_sigma": torch.as_tensor(getattr(scheduler, "init_noise_sigma", 1)).double().reshape(1)}
    if hasattr(scheduler, "sigmas"):
        tensors["sigmas"] = scheduler.sigmas.float()
    if hasattr(scheduler, "set_begin_index"):
        scheduler.set_begin_index(begin)
    timesteps = scheduler.timesteps[begin:]
    flow = case["class"].startswith("FlowMatch")
    sample = noise * tensors["init_noise_sigma"].item()
    if begin and flow:
        sample = scheduler.scale_noise(original, timesteps[:1], noise)
    elif begin:
        sample = scheduler.add_noise(original, noise, timesteps[:1].repeat(2))
    tensors["start"] = sample
    if case["class"] in GRIDS_ALONE:
        return tensors
    extra = {}
    if case["class"] in ("DDIMScheduler", "DDPMScheduler", "EulerAncestralDiscreteScheduler", "DPMSolverMultistepScheduler",
                         "LCMScheduler", "TCDScheduler", "FlowMatchEulerDiscreteScheduler"):
        extra["generator"] = [torch.Generator().manual_seed(s) for s in NOISE_SEEDS]
    if case["class"] == "TCDScheduler":
        extra["eta"] = case.get("eta", 0.0)
    if "eta" in case:
        extra["eta"] = case["eta"]
    samples = []
    for i, t in enumerate(timesteps):
        if not flow:
            scheduler.scale_model_input(sample, t)
        sample = scheduler.step(shared["outputs"][i % OUTPUTS][:, :output_channels], t, sample, **extra).prev_sample
        samples.append(sample)
    tensors["final"] = sample
    if case["steps"] <= SHORT:
        tensors["samples"] = torch.stack(samples)
    return tensors


def cases():
    for class_name, (base, variants) in CLASSES.items():
        order = 2 if class_name.startswith(("Heun", "KDPM2", "FlowMatchHeun", "DPMSolverSDE")) else 1
        if class_name.startswith("EDM"):
            base = {**base, "sigma_data": 0.5}
        def case(config, steps, begin=0, **more):
            return {"class": class_name, "config": {**SD, **base, **config}, "steps": steps, "begin": begin, **more}
        for variant in variants:
            yield case(variant, 10)
        for steps in (1, 2, 3, 25):
            yield case({}, steps)
        for begin in (3, 6, 9):
            yield case({}, 10, begin * order)
        yield case({} if class_name.startswith("FlowMatch") else TRAILING, 20, 13 * order)
        if class_name.startswith("TCD"):
            for eta in (0.3, 1.0):
                yield case({}, 8, eta=eta)
        if class_name.startswith("DDIM"):
            for eta in (0.5, 1.0):
                yield case({}, 10, eta=eta)
            yield case({**CLIP, **V}, 10, eta=0.7)
        if class_name.startswith("PNDM"):
            for steps in (4, 25):
                yield case({"skip_prk_steps": False}, steps)
            yield case({"skip_prk_steps": False}, 20, 9)
        if class_name.startswith(("Euler", "Heun", "LMS", "DPM", "UniPC", "DEIS")) and "Ancestral" not in class_name:
            for sigmas in SIGMAS:
                for steps in (1, 3, 25):
                    yield case(sigmas, steps)
        if class_name.startswith(("DPM", "UniPC", "DEIS")):
            yield case({"solver_order": 3}, 25)
            yield case({"solver_order": 3}, 25, 8)
            yield case({"lower_order_final": False}, 25)


def main():
    shared = bank()
    tensors, listed = dict(shared), []
    for case in cases():
        made = run(case, shared)
        if not all(torch.isfinite(t).all() for t in made.values()):
            print("left out, not finite:", case)
            continue
        case["name"] = f"{len(listed):03d}"
        listed.append(case)
        tensors.update({f"{case['name']}.{key}": value.contiguous() for key, value in made.items()})
    FOLDER.mkdir(exist_ok=True)
    about = {"diffusers": diffusers.__version__, "torch": torch.__version__, "seed": str(SEED),
             "made_by": "tools/goldens/schedulers.py"}
    save_file(tensors, FOLDER / "schedulers.safetensors", metadata=about)
    lines = ",\n".join("    " + json.dumps(case, sort_keys=True) for case in listed)
    (FOLDER / "schedulers.json").write_text(
        '{\n  "about": %s,\n  "noise_seeds": %s,\n  "cases": [\n%s\n  ]\n}\n' % (json.dumps(about), NOISE_SEEDS, lines))
    print(len(listed), "cases")


if __name__ == "__main__":
    main()
