# SPDX-License-Identifier: Apache-2.0
"""The packages that A1111's and OpenAI's users have, against a running server: they make, change and follow pictures, and give
them up.

    clients_test.py LIMN [TEST…]
"""
import base64
import http.client
import io
import json
import sys
import threading
import time
import urllib.request
import warnings

import openai
import webuiapi
from PIL import Image, ImageChops

from serving import Server

warnings.simplefilter("ignore", DeprecationWarning)  # create_variation is OpenAI's own no longer
SIZE = 64
SMALL = {"steps": 2, "seed": 7}
LONG = {"steps": 900, "seed": 7}  # is given up


def decoded(text):
    return Image.open(io.BytesIO(base64.b64decode(text)))


def png(image):
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


def is_same(a, b):
    return ImageChops.difference(a.convert("RGB"), b.convert("RGB")).getbbox() is None


def changed_box(a, b):
    return ImageChops.difference(a.convert("RGB"), b.convert("RGB")).getbbox()


def photo():
    """A picture to change: a gradient with a square."""
    image = Image.linear_gradient("L").resize((SIZE, SIZE)).convert("RGB")
    image.paste((200, 30, 30), (8, 8, 24, 24))
    return image


def until(what, seconds=60):
    """The first true value of what()."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := what():
            return found
        time.sleep(0.02)
    raise AssertionError(f"{what} did not come in {seconds} s")


class Case:
    """One server with its clients."""

    def __init__(self, server):
        self.server = server
        self.openai = openai.OpenAI(base_url=f"http://127.0.0.1:{server.port}/v1", api_key="none", max_retries=0)
        self.webui = webuiapi.WebUIApi(host="127.0.0.1", port=server.port, sampler="Euler a", steps=2)

    def jobs(self, state=""):
        return self.server.expect(200, "GET", f"/api/v1/jobs?limit=1000&state={state}")["jobs"]

    def newest(self):
        return max(self.jobs(), key=lambda job: job["id"])

    def wait_for_cancelled(self, before):
        """Of the one job that is newer than those before."""
        known = {job["id"] for job in before}
        job = until(lambda: next((job for job in self.jobs() if job["id"] not in known), None))
        until(lambda: self.server.expect(200, "GET", f"/api/v1/jobs/{job['id']}")["state"] == "cancelled")


# OpenAI's package.

def openai_lists_models(case):
    models = case.openai.models.list().data
    assert models[0].id == "embedded" and models[0].object == "model", models
    assert case.openai.models.retrieve("embedded").owned_by == "limn"


def openai_makes_pictures(case):
    answer = case.openai.images.generate(prompt="a red apple", n=2, size=f"{SIZE}x{SIZE}", extra_body=SMALL)
    pictures = [decoded(item.b64_json) for item in answer.data]
    assert [picture.size for picture in pictures] == [(SIZE, SIZE)] * 2
    assert not is_same(*pictures), "the seed does not go on"
    assert "Seed: 7" in pictures[0].text["parameters"], pictures[0].text
    assert answer.usage.input_tokens == answer.usage.total_tokens > 0, answer.usage
    assert answer.size == f"{SIZE}x{SIZE}" and answer.output_format == "png"
    again = case.openai.images.generate(prompt="a red apple", size=f"{SIZE}x{SIZE}", extra_body=SMALL)
    assert is_same(decoded(again.data[0].b64_json), pictures[0])


def openai_says_what_it_leaves_out(case):
    answer = case.openai.images.generate(model="dall-e-3", prompt="fog", size=f"{SIZE}x{SIZE}", quality="hd",
                                         background="transparent", extra_body={**SMALL, "novelty": 1})
    text = "\n".join(answer.model_extra["warnings"])
    for word in ("model:", "quality:", "background:", "novelty:"):
        assert word in text, text


def openai_gets_formats_and_addresses(case):
    for name in ("jpeg", "webp"):
        answer = case.openai.images.generate(prompt="fog", size=f"{SIZE}x{SIZE}", output_format=name, output_compression=60,
                                             extra_body=SMALL)
        assert decoded(answer.data[0].b64_json).format == name.upper()
    answer = case.openai.images.generate(prompt="fog", size=f"{SIZE}x{SIZE}", response_format="url", extra_body=SMALL)
    with urllib.request.urlopen(answer.data[0].url) as file:
        assert Image.open(io.BytesIO(file.read())).size == (SIZE, SIZE)


def openai_edits_where_the_mask_is_transparent(case):
    mask = Image.new("RGBA", (SIZE, SIZE), (0, 0, 0, 255))
    mask.paste((0, 0, 0, 0), (32, 32, 64, 64))
    answer = case.openai.images.edit(image=("a.png", png(photo()), "image/png"), mask=("m.png", png(mask), "image/png"),
                                     prompt="a red apple", extra_body=SMALL)
    edited = decoded(answer.data[0].b64_json)
    box = changed_box(edited, photo())
    assert box and box[0] >= 32 and box[1] >= 32, f"changed in {box}"


def openai_edits_and_varies_whole_pictures(case):
    images = [("a.png", png(photo()), "image/png"), ("b.png", png(photo()), "image/png")]
    answer = case.openai.images.edit(image=images, prompt="a red apple", n=2, extra_body={"steps": 4, "seed": 7})
    assert len(answer.data) == 2 and not is_same(decoded(answer.data[0].b64_json), photo())
    assert "image: the first is taken" in answer.model_extra["warnings"][0]
    answer = case.openai.images.create_variation(image=png(photo()), n=1, extra_body={"steps": 4, "seed": 7})
    assert decoded(answer.data[0].b64_json).size == (SIZE, SIZE)


def openai_streams_partial_pictures(case):
    events = list(case.openai.images.generate(prompt="a red apple", size="128x128", stream=True, partial_images=2,
                                              extra_body={"steps": 60, "seed": 7}))
    kinds = [event.type for event in events]
    assert kinds[-1] == "image_generation.completed" and kinds.count(kinds[-1]) == 1, kinds
    partial = events[:-1]
    assert partial and [event.partial_image_index for event in partial] == list(range(len(partial))), kinds
    assert all(event.type == "image_generation.partial_image" for event in partial), kinds
    assert decoded(partial[0].b64_json).format == "PNG"
    assert decoded(events[-1].b64_json).size == (128, 128) and events[-1].usage.input_tokens > 0
    events = list(case.openai.images.edit(image=png(photo()), prompt="fog", stream=True, extra_body={"steps": 4}))
    assert [event.type for event in events] == ["image_edit.completed"]


def openai_gives_up_by_going_away(case):
    before = case.jobs()
    try:
        case.openai.with_options(timeout=1.0).images.generate(prompt="fog", size="128x128", extra_body=LONG)
        raise AssertionError("it answered")
    except openai.APITimeoutError:
        case.wait_for_cancelled(before)
    before = case.jobs()
    stream = case.openai.images.generate(prompt="fog", size="128x128", stream=True, partial_images=3, extra_body=LONG)
    until(lambda: case.jobs("running"))
    stream.response.close()
    case.wait_for_cancelled(before)


def openai_gets_errors_in_its_own_form(case):
    for arguments, kind, param, code in (
            ({"size": "large"}, openai.BadRequestError, "size", "invalid_argument"),
            ({"size": "63x64"}, openai.BadRequestError, "size", "invalid_argument"),
            ({"n": 11}, openai.BadRequestError, "n", "invalid_argument"),
            ({"model": "gone"}, openai.NotFoundError, "model", "model_not_found")):
        try:
            case.openai.images.generate(prompt="fog", extra_body=SMALL, **arguments)
            raise AssertionError(f"{arguments} was accepted")
        except kind as error:
            assert (error.param, error.code) == (param, code), (arguments, error.body)
            assert error.type == "invalid_request_error"
    try:
        list(case.openai.images.generate(prompt="fog", stream=True, extra_body={"steps": 2, "scheduler": "gone"}))
        raise AssertionError("no scheduler 'gone', yet it drew")
    except openai.BadRequestError as error:
        assert error.param == "scheduler"


# webuiapi.

def webui_lists_what_there_is(case):
    api = case.webui
    assert "Euler a" in api.util_get_sampler_names() and "DPM++ 2M" in api.util_get_sampler_names()
    assert {"automatic", "karras", "sgm_uniform"} <= set(api.util_get_scheduler_names())
    assert api.get_sd_models()[0]["filename"] == "embedded"
    assert api.util_get_current_model().split(" [")[0] == api.get_sd_models()[0]["title"].split(" [")[0]  # without the hash
    assert [mode["name"] for mode in api.get_latent_upscale_modes()][0] == "Latent"
    assert "Lanczos" in [upscaler["name"] for upscaler in api.get_upscalers()]
    assert api.get_scripts() == {"txt2img": [], "img2img": []}
    assert api.get_embeddings() == {"loaded": {}, "skipped": {}}
    assert api.get_memory()["ram"]["used"] > 0
    for empty in (api.get_hypernetworks, api.get_face_restorers, api.get_realesrgan_models, api.get_prompt_styles,
                  api.get_loras, api.get_sd_vae):
        assert empty() == [], empty
    assert api.get_cmd_flags() == {} and api.refresh_checkpoints() is None
    assert api.controlnet_model_list() == [] and api.controlnet_module_list() == []


def webui_makes_pictures(case):
    result = case.webui.txt2img(prompt="a red apple", negative_prompt="text", seed=2**40, width=SIZE, height=SIZE, batch_size=2,
                                n_iter=2, cfg_scale=5)
    assert [image.size for image in result.images] == [(SIZE, SIZE)] * 4
    assert result.info["all_seeds"] == [2**40 + i for i in range(4)] and result.info["seed"] == 2**40
    assert result.info["sampler_name"] == "Euler a" and result.info["all_prompts"] == ["a red apple"] * 4
    assert "Sampler: Euler a" in result.info["infotexts"][3]
    assert result.image.text["parameters"] == result.info["infotexts"][0]
    assert result.parameters["steps"] == 2 and result.parameters["hr_scale"] == 2
    assert "warnings" not in result.info["extra_generation_params"], result.info
    job = case.server.expect(202, "POST", "/api/v1/jobs", {"request": {
        "prompt": "a red apple", "negative_prompt": "text", "seed": 2**40, "width": SIZE, "height": SIZE, "steps": 2,
        "guidance_scale": 5, "eta": 1, "scheduler": "Euler a", "compat": "a1111"}})
    done = case.server.wait_for(job["id"])
    native = case.server.expect(200, "GET", f"/api/v1/pictures/{done['pictures'][0]}/file")
    assert is_same(Image.open(io.BytesIO(native)), result.image)


def webui_makes_second_passes_and_variations(case):
    result = case.webui.txt2img(prompt="fog", seed=1, width=SIZE, height=SIZE, enable_hr=True, hr_scale=2, hr_second_pass_steps=2,
                                denoising_strength=0.6)
    assert result.image.size == (2 * SIZE, 2 * SIZE)
    assert "Hires upscale: 2" in result.info["infotexts"][0]
    result = case.webui.txt2img(prompt="fog", seed=1, width=SIZE, height=SIZE, subseed=5, subseed_strength=0.3, batch_size=2)
    assert result.info["all_subseeds"] == [5, 6] and result.info["all_seeds"] == [1, 1]


def webui_says_what_it_leaves_out(case):
    result = case.webui.txt2img(prompt="fog <lora:gone:1>", seed=1, width=SIZE, height=SIZE, restore_faces=True, s_churn=3,
                                controlnet_units=[webuiapi.ControlNetUnit(image=photo(), module="canny")])
    text = "\n".join(result.info["extra_generation_params"]["warnings"])
    for word in ("<lora:gone>", "restore_faces:", "s_churn:", "ControlNet:"):
        assert word in text, text
    assert case.newest()["warnings"][:4] == result.info["extra_generation_params"]["warnings"][:4]


def webui_starts_from_pictures(case):
    result = case.webui.img2img(images=[photo()], prompt="fog", seed=1, width=SIZE, height=SIZE, denoising_strength=0.5, steps=4)
    assert result.image.size == (SIZE, SIZE) and not is_same(result.image, photo())
    assert result.info["denoising_strength"] == 0.5 and result.parameters["init_images"] is None
    cut = case.webui.img2img(images=[photo().resize((96, SIZE))], prompt="fog", seed=1, width=SIZE, height=SIZE, resize_mode=1,
                             denoising_strength=0.5, steps=4, include_init_images=True)
    assert cut.image.size == (SIZE, SIZE) and len(cut.parameters["init_images"]) == 1


def webui_repaints_what_is_white(case):
    mask = Image.new("L", (SIZE, SIZE))
    mask.paste(255, (32, 32, 64, 64))
    for whole in (False, True):
        result = case.webui.img2img(images=[photo()], mask_image=mask, prompt="a red apple", seed=1, width=SIZE, height=SIZE,
                                    denoising_strength=1, inpainting_fill=1, inpaint_full_res=whole, mask_blur=0, steps=4)
        box = changed_box(result.image, photo())
        assert box and box[0] >= 32 and box[1] >= 32, f"changed in {box}"
    inverted = case.webui.img2img(images=[photo()], mask_image=mask, prompt="a red apple", seed=1, width=SIZE, height=SIZE,
                                  denoising_strength=1, inpaint_full_res=False, inpainting_mask_invert=1, mask_blur=0, steps=4)
    kept = (32, 32, 64, 64)
    assert is_same(inverted.image.crop(kept), photo().crop(kept)) and not is_same(inverted.image, photo())


def webui_works_on_pictures(case):
    made = case.webui.txt2img(prompt="a red apple", seed=3, width=SIZE, height=SIZE).image
    info = case.webui.png_info(made)
    assert info.info.startswith("a red apple") and info.parameters["Seed"] == "3" and info.parameters["Size-1"] == str(SIZE)
    larger = case.webui.extra_single_image(image=made, upscaler_1="Lanczos", upscaling_resize=2)
    assert larger.image.size == (2 * SIZE, 2 * SIZE) and larger.image.text["parameters"] == made.text["parameters"]
    assert len(case.webui.extra_batch_images(images=[made, made], upscaler_1="Lanczos", upscaling_resize=1.5).images) == 2
    try:
        case.webui.interrogate(made)
        raise AssertionError("limn has no model that describes pictures")
    except RuntimeError as error:
        assert error.args[0] == 404


def webui_follows_and_interrupts(case):
    assert case.webui.get_progress()["progress"] == 0 and case.webui.get_progress()["state"]["job_count"] == 0
    results = []
    call = threading.Thread(target=lambda: results.append(case.webui.txt2img(
        prompt="fog", width=128, height=128, **LONG)))
    call.start()
    seen = [until(lambda: (found := case.webui.get_progress())["state"]["sampling_step"] > 0 and found)]
    seen.append(until(lambda: (found := case.webui.get_progress())["progress"] > seen[0]["progress"] and found))
    assert all(0.01 <= found["progress"] < 1 and found["state"]["job_count"] == 1 for found in seen), seen
    assert seen[1]["state"]["sampling_steps"] == LONG["steps"] and seen[1]["eta_relative"] > 0
    preview = until(lambda: case.webui.get_progress()["current_image"])
    assert decoded(preview).width > 0
    without = case.server.expect(200, "GET", "/sdapi/v1/progress?skip_current_image=true")
    assert without["current_image"] is None
    assert case.webui.interrupt() == {}
    call.join(60)
    assert results and results[0].images == [] and case.newest()["state"] == "cancelled"
    case.webui.util_wait_for_ready(0.05)
    assert case.webui.skip() is None  # of nothing


def webui_gets_errors_in_its_own_form(case):
    for arguments, status, word in (({"sampler_name": "Sideways"}, 404, "Sampler not found"),
                                    ({"script_name": "X/Y/Z plot"}, 400, "Script 'X/Y/Z plot' not found"),
                                    ({"override_settings": {"sd_model_checkpoint": "gone"}}, 404, "Model not found")):
        try:
            case.webui.txt2img(prompt="fog", width=SIZE, height=SIZE, **arguments)
            raise AssertionError(f"{arguments} was accepted")
        except RuntimeError as error:
            body = json.loads(error.args[1])
            assert error.args[0] == status and word in body["detail"] and set(body) == {"error", "detail", "body", "errors"}, body
    address = case.server.expect(403, "POST", "/sdapi/v1/img2img", {"init_images": ["http://127.0.0.1/a.png"]})
    assert "does not follow" in address["detail"], address


# SillyTavern and open-webui, which are no packages of PyPI that could be run here: what they send, in their order.

def sillytavern_sets_a_model_and_goes_away(case):
    basic = {"Authorization": "Basic " + base64.b64encode(b"user:pass").decode()}
    title = case.server.expect(200, "GET", "/sdapi/v1/sd-models", headers=basic)[0]["title"]
    assert case.server.expect(200, "POST", "/sdapi/v1/options", {"sd_model_checkpoint": title}, basic) is None
    progress = case.server.expect(200, "GET", "/sdapi/v1/progress", headers=basic)
    assert progress["progress"] == 0 and progress["state"]["job_count"] == 0
    before = case.jobs()
    connection = http.client.HTTPConnection("127.0.0.1", case.server.port)
    body = {"prompt": "fog", "width": 128, "height": 128, "sampler_name": "DPM++ 2M", "scheduler": "karras", "clip_skip": 1,
            "override_settings": {"CLIP_stop_at_last_layers": 1}, **LONG}
    connection.request("POST", "/sdapi/v1/txt2img", json.dumps(body), {"Content-Type": "application/json", **basic})
    until(lambda: case.jobs("running"))
    connection.close()
    case.server.expect(200, "POST", "/sdapi/v1/interrupt", headers=basic)
    case.wait_for_cancelled(before)


def open_webui_sends_all_options_back(case):
    options = case.server.expect(200, "GET", "/sdapi/v1/options", headers={"Authorization": ""})
    options["sd_model_checkpoint"] = case.server.expect(200, "GET", "/sdapi/v1/sd-models")[0]["model_name"]
    options["anything"] = {"else": 1}
    assert case.server.expect(200, "POST", "/sdapi/v1/options", options, {"Authorization": ""}) is None
    answer = case.server.expect(200, "POST", "/sdapi/v1/txt2img",
                                {"prompt": "fog", "batch_size": 1, "width": SIZE, "height": SIZE, "steps": 2})
    assert decoded(answer["images"][0]).size == (SIZE, SIZE)
    case.server.expect(200, "POST", "/sdapi/v1/options", {"CLIP_stop_at_last_layers": 2})
    assert case.server.expect(200, "GET", "/sdapi/v1/options")["CLIP_stop_at_last_layers"] == 2
    answer = case.server.expect(200, "POST", "/sdapi/v1/txt2img", {"prompt": "fog", "width": SIZE, "height": SIZE, "steps": 2})
    assert json.loads(answer["info"])["clip_skip"] == 2
    case.server.expect(200, "POST", "/sdapi/v1/options", {"CLIP_stop_at_last_layers": 1})


def a_page_follows_its_task(case):
    task = "task(abc)"
    call = threading.Thread(target=lambda: case.server.call("POST", "/sdapi/v1/txt2img", {
        "prompt": "fog", "width": 128, "height": 128, "force_task_id": task, **LONG}))
    call.start()
    ask = lambda: case.server.expect(200, "POST", "/internal/progress", {"id_task": task, "live_preview": True})
    found = until(lambda: (found := ask())["active"] and found["live_preview"] and found)
    assert found["progress"] > 0 and found["live_preview"].startswith("data:image/jpeg;base64,")
    case.server.expect(200, "POST", "/sdapi/v1/interrupt")
    call.join(60)
    assert ask()["completed"] and not ask()["active"]
    assert case.server.expect(200, "POST", "/internal/progress", {"id_task": "other"})["textinfo"] == "Waiting..."


TESTS = [test for name, test in list(globals().items()) if name.startswith(("openai_", "webui_", "sillytavern_", "open_webui_", "a_page_"))]


def main():
    limn, names = sys.argv[1], sys.argv[2:]
    failed = 0
    with Server(limn) as server:
        case = Case(server)
        for test in TESTS:
            if names and test.__name__ not in names:
                continue
            start = time.monotonic()
            try:
                test(case)
                print(f"ok {test.__name__} ({time.monotonic() - start:.1f} s)", flush=True)
            except Exception as error:
                failed += 1
                print(f"FAILED {test.__name__}: {type(error).__name__}: {error}", flush=True)
                for job in case.jobs("queued,running"):
                    server.call("POST", f"/api/v1/jobs/{job['id']}/cancel")
        assert server.alive(), "the server has crashed:\n" + "".join(server.lines[-30:])
    print(f"{failed} failed" if failed else "all passed")
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
