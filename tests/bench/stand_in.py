# SPDX-License-Identifier: Apache-2.0
"""A peer that measures nothing: answers as its options say, and notes that it was called."""
import json
import pathlib
import shutil
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent.parent / "bench" / "peers"))
import peer  # noqa: E402

request = json.loads(sys.argv[1])
with open(request["log"], "a", encoding="utf-8") as file:
    file.write(f"{request['task']} {request['calls_itself']}\n")


class StandIn:
    def prepare(self, request):
        if request.get("behaves") == "is missing":
            import a_module_that_nobody_has  # noqa: F401

    def part(self, request):
        if request.get("behaves") == "fails":
            sys.exit("the stand-in fell over")
        if request.get("behaves") == "mumbles":
            print("{}")
        assert request["part"] == "step" and request["width"] == 64 and request["repeats"] == 2, request
        return {"load": 0.5, "seconds": request["seconds"]} if "seconds" in request else {}

    def run(self, request):
        shutil.copy(request["init_latents"], request["save_latents"])
        return {"load": 1, "encode": 2, "denoise": 3, "decode": 4}


peer.main(StandIn())
