# SPDX-License-Identifier: Apache-2.0
"""diffusers as its documentation uses it. Options: dtype, channels_last."""
from peer import Clock, inputs_of, main, seconds_of


class Diffusers:
    def prepare(self, request):
        import diffusers  # is it there?
        assert diffusers

    def part(self, request):
        clock = Clock()
        import torch

        import torch_modules
        torch.set_num_threads(request["threads"])
        dtype = getattr(torch, request["dtype"])
        layout = torch.channels_last if request.get("channels_last") else torch.contiguous_format
        module = torch_modules.load(request["part"], request["model"], dtype).to(memory_format=layout)
        tensors = []
        for array in inputs_of(request["part"], request["height"], request["width"]).values():
            tensor = torch.from_numpy(array)
            tensor = tensor.to(dtype) if tensor.is_floating_point() else tensor
            tensors.append(tensor.to(memory_format=layout) if tensor.dim() == 4 else tensor)
        load = clock.lap()
        with torch.inference_mode():
            return {"load": load, "seconds": seconds_of(lambda: module(*tensors), request["repeats"])}

    def run(self, request):
        clock = Clock()
        import torch
        from diffusers import DiffusionPipeline, EulerDiscreteScheduler
        from safetensors.torch import load_file, save_file
        torch.set_num_threads(request["threads"])
        dtype = getattr(torch, request["dtype"])
        pipe = DiffusionPipeline.from_pretrained(request["model"], torch_dtype=dtype)
        pipe.scheduler = EulerDiscreteScheduler.from_config(pipe.scheduler.config)
        pipe.set_progress_bar_config(disable=True)
        if request.get("channels_last"):
            pipe.unet.to(memory_format=torch.channels_last)
            pipe.vae.to(memory_format=torch.channels_last)
        times = {"load": clock.lap()}
        with torch.inference_mode():
            positive, negative = pipe.encode_prompt(request["prompt"], "cpu", 1, True, request["negative_prompt"])
            times["encode"] = clock.lap()
            latents = pipe(prompt_embeds=positive, negative_prompt_embeds=negative, height=request["height"],
                           width=request["width"], num_inference_steps=request["steps"],
                           guidance_scale=request["guidance_scale"],
                           latents=load_file(request["init_latents"])["latents"].to(dtype),
                           output_type="latent").images
            times["denoise"] = clock.lap()
            pixels = pipe.vae.decode(latents / pipe.vae.config.scaling_factor, return_dict=False)[0]
            times["decode"] = clock.lap()
        pipe.image_processor.postprocess(pixels.float())[0].save(request["output"])
        save_file({"latents": latents.float().contiguous()}, request["save_latents"])
        return times


main(Diffusers())
