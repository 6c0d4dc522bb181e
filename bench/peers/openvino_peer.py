# SPDX-License-Identifier: Apache-2.0
"""OpenVINO: torch's modules through its converter, compiled for the size. Options: dtype (float32, bfloat16)."""
import os

from peer import Clock, inputs_of, main, seconds_of, written_once

HINTS = {"float32": "f32", "bfloat16": "bf16"}


def folder_of(request):
    import openvino
    return os.path.join(request["cache"], "openvino-" + openvino.__version__.split("-")[0])


def export(request, folder):
    import openvino
    import torch

    import lean
    import torch_modules
    lean.save_tokenizer(request["model"], folder)
    for part in torch_modules.MODULES:
        inputs = {name: torch.from_numpy(array) for name, array in inputs_of(part, 256, 256).items()}
        with torch.no_grad():
            model = openvino.convert_model(torch_modules.load(part, request["model"]), example_input=inputs)
        # As OpenVINO does unless told: as many bytes to read as the other programs have. The weights have float16's
        # values anyway, but the timesteps' frequencies are rounded, too, and a step moves by 1e-2.
        openvino.save_model(model, os.path.join(folder, part + ".xml"), compress_to_fp16=True)


def compiled(request, part):
    import openvino
    core = openvino.Core()
    model = core.read_model(os.path.join(folder_of(request), part + ".xml"))
    inputs = inputs_of(part, request["height"], request["width"])
    model.reshape({name: list(array.shape) for name, array in inputs.items()})
    call = core.compile_model(model, "CPU", {
        "INFERENCE_PRECISION_HINT": HINTS[request["dtype"]], "INFERENCE_NUM_THREADS": request["threads"],
        "PERFORMANCE_HINT": "LATENCY"}).create_infer_request()
    return lambda **arrays: call.infer(arrays, share_inputs=True, share_outputs=True)[0]


class OpenVINO:
    def prepare(self, request):
        written_once(folder_of(request), lambda folder: export(request, folder))

    def part(self, request):
        clock = Clock()
        call = compiled(request, request["part"])
        load = clock.lap()
        inputs = inputs_of(request["part"], request["height"], request["width"])
        return {"load": load, "seconds": seconds_of(lambda: call(**inputs), request["repeats"])}

    def run(self, request):
        import lean
        return lean.draw(request, folder_of(request),
                         lambda parts: {part: compiled(request, part) for part in parts})


main(OpenVINO())
