# SPDX-License-Identifier: Apache-2.0
"""ONNX Runtime: torch's modules through torch.onnx. Options: dtype (float32)."""
import os

from peer import Clock, inputs_of, main, seconds_of, written_once


def folder_of(request):
    import onnxruntime
    return os.path.join(request["cache"], "onnx-" + onnxruntime.__version__)


def file_of(request, part, folder=None):
    size = "" if part == "text" else f"-{request['width']}x{request['height']}"
    return os.path.join(folder or folder_of(request), part + size, "model.onnx")


def export(request, part, folder):
    import torch

    import torch_modules
    arrays = inputs_of(part, request["height"], request["width"])
    torch.onnx.export(torch_modules.load(part, request["model"]), tuple(map(torch.from_numpy, arrays.values())),
                      os.path.join(folder, "model.onnx"), input_names=list(arrays), output_names=["out"],
                      dynamo=True, external_data=True)


def session(request, part):
    import onnxruntime
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = request["threads"]
    call = onnxruntime.InferenceSession(file_of(request, part), options, providers=["CPUExecutionProvider"])
    return lambda **arrays: call.run(None, arrays)[0]


class OnnxRuntime:
    def prepare(self, request):
        import torch_modules

        import lean
        os.makedirs(folder_of(request), exist_ok=True)
        lean.save_tokenizer(request["model"], folder_of(request))
        for part in [request["part"]] if "part" in request else torch_modules.MODULES:
            written_once(os.path.dirname(file_of(request, part)), lambda folder: export(request, part, folder))

    def part(self, request):
        clock = Clock()
        call = session(request, request["part"])
        load = clock.lap()
        inputs = inputs_of(request["part"], request["height"], request["width"])
        return {"load": load, "seconds": seconds_of(lambda: call(**inputs), request["repeats"])}

    def run(self, request):
        import lean
        return lean.draw(request, folder_of(request), lambda parts: {part: session(request, part) for part in parts})


main(OnnxRuntime())
