# SPDX-License-Identifier: Apache-2.0
"""k-diffusion's samplers, and the noise levels of Stable Diffusion in the schedules that its users know."""
import importlib.util
import pathlib
import site
import sys
import types

import numpy as np
import torch
from scipy.stats import beta


def load_sampling():
    """k_diffusion.sampling alone: the package imports what its samplers do not need."""
    folder = pathlib.Path(site.getsitepackages()[0]) / "k_diffusion"
    package, utils = types.ModuleType("k_diffusion"), types.ModuleType("k_diffusion.utils")
    package.__path__ = [str(folder)]
    utils.append_dims = lambda x, dims: x[(...,) + (None,) * (dims - x.ndim)]
    package.utils = utils
    sys.modules.update({"k_diffusion": package, "k_diffusion.utils": utils})
    spec = importlib.util.spec_from_file_location("k_diffusion.sampling", folder / "sampling.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["k_diffusion.sampling"] = module
    spec.loader.exec_module(module)
    return module


S = load_sampling()
ALPHAS = torch.cumprod(1 - torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float32)**2, 0)
TABLE = ((1 - ALPHAS) / ALPHAS)**0.5
LOGS = TABLE.log()


def t_to_sigma(t):
    low, high, w = t.floor().long(), t.ceil().long(), t.frac()
    return ((1 - w) * LOGS[low] + w * LOGS[high]).exp()


def zero(x):
    return torch.cat([x, x.new_zeros([1])])


def interpolated(levels, n):
    xs, ys = np.linspace(0, 1, len(levels)), np.log(np.array(levels[::-1]))
    return torch.tensor(np.exp(np.interp(np.linspace(0, 1, n), xs, ys))[::-1].copy(), dtype=torch.float32)


AYS = [14.615, 6.475, 3.861, 2.697, 1.886, 1.396, 0.963, 0.652, 0.399, 0.152, 0.029]
LOW, HIGH = TABLE[0], TABLE[-1]
SCHEDULES = {
    "normal": lambda n: zero(t_to_sigma(torch.linspace(999, 0, n))),
    "sgm_uniform": lambda n: zero(t_to_sigma(torch.linspace(999, 0, n + 1)[:-1])),
    "simple": lambda n: zero(torch.stack([TABLE[-(1 + int(i * 1000 / n))] for i in range(n)])),
    "ddim_uniform": lambda n: torch.tensor([0.0] + [TABLE[x] for x in range(1, 1000, max(1000 // n, 1))]).flip(0),
    "karras": lambda n: S.get_sigmas_karras(n, LOW, HIGH),
    "exponential": lambda n: S.get_sigmas_exponential(n, LOW, HIGH),
    "polyexponential": lambda n: S.get_sigmas_polyexponential(n, LOW, HIGH),
    "beta": lambda n: zero(torch.stack([TABLE[int(t)] for t in dict.fromkeys(
        np.rint(beta.ppf(1 - np.linspace(0, 1, n, endpoint=False), 0.6, 0.6) * 999))])),
    "beta_linear": lambda n: zero(torch.tensor(
        [float(LOW + beta.ppf(x, 0.6, 0.6) * (HIGH - LOW)) for x in 1 - np.linspace(0, 1, n)])),
    "kl_optimal": lambda n: zero(torch.tan(torch.linspace(0, 1, n) * LOW.atan() + (1 - torch.linspace(0, 1, n)) * HIGH.atan())),
    "kl_optimal_a1111": lambda n: torch.tan(
        torch.arange(n + 1) / n * LOW.atan() + (1 - torch.arange(n + 1) / n) * HIGH.atan()),
    "align_your_steps": lambda n: zero(interpolated(AYS, n)),
    "turbo": lambda n: zero(TABLE[torch.flip(torch.arange(1, n + 1) * float(1000.0 / n) - 1, (0,)).round().long().clip(0, 999)]),
}
