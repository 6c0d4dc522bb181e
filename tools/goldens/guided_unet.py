# SPDX-License-Identifier: Apache-2.0
"""The U-Net of a pipeline of diffusers, guided, as the denoiser that k-diffusion's samplers ask; and how a picture is kept where
the mask is black while they run."""
import torch

from kdiffusion_sampling import LOGS


class Denoiser:
    """x0 of a sample at level sigma. What it was without the prompt stays in `last`.

    sigma_data: Karras' preconditioning (Karras et al. 2022, table 1). guides: call -> whether it is guided.
    """

    def __init__(self, pipeline, prompt, negative, scale, prediction, sigma_data=None, guides=lambda call, sigma: True):
        self.unet, self.scale, self.prediction, self.sigma_data, self.guides = pipeline.unet, scale, prediction, sigma_data, guides
        self.last, self.calls = None, 0
        made = pipeline.encode_prompt(prompt, device="cpu", num_images_per_prompt=1, do_classifier_free_guidance=True,
                                      negative_prompt=negative)
        self.states = torch.cat([made[1], made[0]])
        self.added = dict(text_embeds=torch.cat([made[3], made[2]]), time_ids=torch.tensor(
            [[64.0, 64, 0, 0, 64, 64]] * 2)) if hasattr(pipeline, "text_encoder_2") else None

    def timestep(self, sigma):
        if self.sigma_data:
            return sigma.log() / 4
        distances = sigma.log() - LOGS
        low = int((distances >= 0).cumsum(0).argmax().clip(max=len(LOGS) - 2))
        w = ((LOGS[low] - sigma.log()) / (LOGS[low] - LOGS[low + 1])).clip(0, 1)
        return (1 - w) * low + w * (low + 1)

    def denoised(self, x, sigma, output):
        v = self.prediction == "v_prediction"
        if self.sigma_data:
            d, length = self.sigma_data, (sigma**2 + self.sigma_data**2)**0.5
            return x * d**2 / length**2 + output * sigma * d / length * (-1 if v else 1)
        return x / (sigma**2 + 1) - output * sigma / (sigma**2 + 1)**0.5 if v else x - sigma * output

    def __call__(self, x, sigma, **_):
        sigma = torch.as_tensor(sigma).flatten()[0]
        x_in = (x / (sigma**2 + (self.sigma_data or 1)**2)**0.5).repeat(2, 1, 1, 1)
        negative, positive = self.unet(x_in, self.timestep(sigma).reshape(1).expand(2), self.states,
                                       added_cond_kwargs=self.added).sample.chunk(2)
        guided = self.guides(self.calls, sigma)
        self.calls += 1
        self.last = self.denoised(x, sigma, negative if guided else positive)
        return self.denoised(x, sigma, negative + self.scale * (positive - negative)) if guided else self.last

    def unconditional(self, x, sigma):
        return self.last


class Keeper:
    """A denoiser whose samples are the picture's own, noised to each level, where the mask is 0."""

    def __init__(self, denoiser, mask, clean, noise):
        self.denoiser, self.mask, self.clean, self.noise, self.started = denoiser, mask, clean, noise, False

    def __call__(self, x, sigma, **_):
        level = torch.as_tensor(sigma).flatten()[0]
        if self.started:  # in place: the sampler goes on from what the model saw
            x.copy_((self.clean + self.noise * level) * (1 - self.mask) + x * self.mask)
        self.started = True
        return self.denoiser(x, sigma)

    def unconditional(self, x, sigma):
        return self.denoiser.unconditional(x, sigma)

    def finished(self, x):
        return self.clean * (1 - self.mask) + x * self.mask
