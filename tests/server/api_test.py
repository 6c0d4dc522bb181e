# SPDX-License-Identifier: Apache-2.0
"""The native API of a running server with the embedded model, over HTTP: submit, follow, fetch, edit, cancel, and a run that is
killed and goes on to the same bits.

    api_test.py LIMN
"""
import base64
import http.client
import io
import json
import os
import socket
import struct
import sys
import tempfile
import threading
import time
import zipfile

import png
from serving import Server

SMALL = {"prompt": "a red apple", "width": 64, "height": 64, "steps": 4}


def submit(server, headers=None, **fields):
    return server.expect(202, "POST", "/api/v1/jobs", {"request": {**SMALL, **fields}}, headers)


def drawn(server, **fields):
    """@return the job, and the bytes of its pictures"""
    job = server.wait_for(submit(server, **fields)["id"])
    assert job["state"] == "done", job
    return job, [server.expect(200, "GET", f"/api/v1/pictures/{picture}/file") for picture in job["pictures"]]


def texts_of(file):
    """The tEXt and iTXt chunks of a PNG that are not compressed."""
    at, out = 8, {}
    while at < len(file):
        length, kind = struct.unpack(">I4s", file[at:at + 8])
        body = file[at + 8:at + 8 + length]
        if kind in (b"tEXt", b"iTXt"):
            keyword, rest = body.split(b"\0", 1)
            out[keyword.decode()] = (rest if kind == b"tEXt" else rest[2:].split(b"\0", 2)[2]).decode("utf-8", "replace")
        at += 12 + length
    return out


def events(server, path, until, headers=None):
    """Server-sent events as (name, data), until `until` has seen one that satisfies it or the stream ends."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    connection.request("GET", path, headers=headers or {})
    answer = connection.getresponse()
    assert answer.status == 200 and answer.headers["Content-Type"].startswith("text/event-stream"), answer.status
    out, name = [], None
    for line in answer:
        if line.startswith(b"event: "):
            name = line[7:].strip().decode()
        elif line.startswith(b"data: "):
            out.append((name, json.loads(line[6:])))
            if until(*out[-1]):
                break
    connection.close()
    return out


def test_a_job_from_submission_to_file(server):
    job = submit(server, seed=7, count=2)
    told = events(server, f"/api/v1/jobs/{job['id']}/events", lambda *_: False)
    assert {name for name, _ in told} <= {"job", "preview"}, told
    jobs = [data for name, data in told if name == "job"]
    assert jobs[-1]["state"] == "done", jobs[-1]
    done = [data["progress"]["done"] for data in jobs if data["progress"]["stage"] == "denoise"]
    assert done == sorted(done), done
    files = [server.expect(200, "GET", f"/api/v1/pictures/{name}/file") for name in jobs[-1]["pictures"]]
    assert len(files) == 2 and png.pixels(files[0]) != png.pixels(files[1])
    record = json.loads(texts_of(files[1])["limn"])
    assert record["seed"] == 8 and "Steps: 4" in texts_of(files[1])["parameters"], record
    _, again = drawn(server, seed=8)
    assert png.pixels(again[0]) == png.pixels(files[1])


def test_one_key_is_one_job(server):
    headers = {"Idempotency-Key": "one"}
    assert submit(server, headers)["id"] == submit(server, headers)["id"]
    server.expect(400, "POST", "/api/v1/jobs", {"request": {**SMALL, "steps": 5}}, headers)


def test_image_to_image_and_inpainting(server):
    _, (start,) = drawn(server, seed=1)
    sent = server.expect(201, "POST", "/api/v1/inputs", start, {"Content-Type": "image/png"})
    assert (sent["width"], sent["height"]) == (64, 64)
    _, (changed,) = drawn(server, init_image=sent["id"], strength=0.5, seed=2)
    assert png.pixels(changed) != png.pixels(start)
    width, height, channels, _ = png.pixels(start)
    half = grey_png(width, height, lambda x, y: 255 if x >= 32 else 0)
    mask = "data:image/png;base64," + base64.b64encode(half).decode()
    _, (painted,) = drawn(server, init_image=sent["id"], mask=mask, mask_blur=0, strength=1, seed=3)
    old, new = png.pixels(start)[3], png.pixels(painted)[3]
    rows = [slice(y * width * channels, y * width * channels + 32 * channels) for y in range(height)]
    assert all(old[row] == new[row] for row in rows), "what is not masked stays to the bit"
    assert old != new
    gallery = server.expect(200, "GET", "/api/v1/pictures?limit=1")["pictures"][0]
    assert gallery["request"]["init_image"] == sent["id"], gallery["request"]


def grey_png(width, height, value):
    import zlib

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    rows = b"".join(b"\0" + bytes(value(x, y) for x in range(width)) for y in range(height))
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)) +
            chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


def test_settings_are_read_from_a_picture(server):
    _, (file,) = drawn(server, seed=21, guidance_scale=3)
    read = server.expect(200, "POST", "/api/v1/inputs/read", file, {"Content-Type": "image/png"})
    assert read["program"] == "limn" and read["request"]["guidance_scale"] == 3, read
    _, (again,) = drawn(server, **read["request"])
    assert png.pixels(again) == png.pixels(file)


def test_cancel_pause_and_order(server):
    server.expect(200, "POST", "/api/v1/queue/pause")
    first, second = submit(server, seed=1), submit(server, seed=2)
    assert (first["place"], second["place"]) == (1, 2)
    assert server.expect(200, "PATCH", f"/api/v1/jobs/{second['id']}", {"before": first["id"]})["place"] == 1
    assert server.expect(200, "POST", f"/api/v1/jobs/{first['id']}/cancel")["state"] == "cancelled"
    server.expect(200, "POST", "/api/v1/queue/resume")
    assert server.wait_for(second["id"])["state"] == "done"

    long = submit(server, steps=1000, width=128, height=128)["id"]
    running = events(server, "/api/v1/events", lambda name, data: name == "preview" and data["job"] == long)
    assert any(name == "queue" for name, _ in running)
    preview = server.expect(200, "GET", f"/api/v1/jobs/{long}/preview")
    assert preview[:2] == b"\xff\xd8" and len(preview) <= 32_000
    server.expect(200, "POST", f"/api/v1/jobs/{long}/cancel")
    assert server.wait_for(long, timeout=20)["state"] == "cancelled"


def test_events_by_websocket(server):
    connection = socket.create_connection(("127.0.0.1", server.port), timeout=30)
    connection.sendall(b"GET /api/v1/events/ws HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                       b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n")
    stream = connection.makefile("rb")
    assert b"101" in stream.readline()
    while stream.readline().strip():
        pass

    def message():
        first, length = stream.read(2)
        assert first == 0x81, first  # one text, whole and not masked
        if length == 126:
            length, = struct.unpack(">H", stream.read(2))
        elif length == 127:
            length, = struct.unpack(">Q", stream.read(8))
        return json.loads(stream.read(length))

    assert message()["event"] in ("job", "queue")
    job = submit(server)["id"]
    while True:
        told = message()
        if told["event"] == "job" and told["data"]["id"] == job and told["data"]["state"] == "done":
            break
    connection.close()


def test_the_gallery(server):
    job, files = drawn(server, prompt="a violet pear", count=2, seed=40)
    first, second = job["pictures"]
    found = server.expect(200, "GET", "/api/v1/pictures?q=viol+pear")
    assert found["total"] == 2 and {p["id"] for p in found["pictures"]} == {first, second}
    server.expect(200, "PATCH", f"/api/v1/pictures/{first}", {"tags": ["fruit"], "rating": 5})
    assert server.expect(200, "GET", "/api/v1/pictures?tag=fruit&rating=5")["total"] == 1
    bare = server.expect(200, "GET", f"/api/v1/pictures/{first}/file?metadata=false")
    assert not texts_of(bare) and png.pixels(bare) == png.pixels(files[0])
    status, headers, part = server.call("GET", f"/api/v1/pictures/{first}/file", headers={"Range": "bytes=0-7"})
    assert status == 206 and part == files[0][:8] and headers["Content-Range"].startswith("bytes 0-7/")
    archive = server.expect(200, "POST", "/api/v1/pictures/archive", {"ids": [first, second]})
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        assert opened.testzip() is None
        assert [opened.read(name) for name in opened.namelist()] == files
    server.expect(200, "POST", "/api/v1/pictures/bulk", {"ids": [first, second], "deleted": True})
    assert server.expect(200, "GET", "/api/v1/pictures?q=violet")["total"] == 0
    assert server.expect(200, "GET", "/api/v1/pictures?q=violet&deleted=true")["total"] == 2


def test_errors_say_what_to_do(server):
    for path, body, status, where in [
            ("/api/v1/jobs", {"request": {}}, 400, "prompt"),
            ("/api/v1/jobs", {"request": {**SMALL, "model": "../../etc/passwd"}}, 404, "model"),
            ("/api/v1/jobs", {"request": {**SMALL, "init_image": "/etc/passwd"}}, 400, "init_image"),
            ("/api/v1/jobs", {}, 400, "request")]:
        error = server.expect(status, "POST", path, body)["error"]
        assert error["where"] == where and error["message"], error
        assert str(server.data) not in json.dumps(error), error
    server.expect(404, "GET", "/api/v1/jobs/nobody")
    server.expect(404, "GET", "/api/v1/nothing")
    server.expect(405, "DELETE", "/api/v1/jobs")


def test_a_killed_run_goes_on_to_the_same_bits(limn):
    # A sampler with noise and memory of its own; long enough for two checkpoints before the kill.
    fields = {"seed": 5, "steps": 400, "scheduler": "dpmpp_2m_sde", "width": 128, "height": 128}
    with Server(limn, "--threads", "1") as server:
        _, (wanted,) = drawn(server, **fields)
        job = submit(server, **fields)["id"]
        began = time.monotonic()
        while server.expect(200, "GET", f"/api/v1/jobs/{job}")["state"] == "queued" or time.monotonic() < began + 5:
            time.sleep(0.05)
        before = server.expect(200, "GET", f"/api/v1/jobs/{job}")
        assert before["state"] == "running" and before["progress"]["done"] < 400, before
        server.kill()
        server.start()
        began = time.monotonic()
        after = server.wait_for(job)
        assert after["state"] == "done" and after["attempt"] == 2, after
        _, _, file = server.call("GET", f"/api/v1/pictures/{after['pictures'][0]}/file")
        assert png.pixels(file) == png.pixels(wanted)
        records = [json.loads(texts_of(one)["limn"]) for one in (file, wanted)]
        for record in records:
            record.pop("created")
        assert records[0] == records[1]
        print(f"  killed at step {before['progress']['done']}, done {time.monotonic() - began:.1f} s after the start")


def test_owners(limn):
    import subprocess
    with tempfile.TemporaryDirectory() as folder:
        file = os.path.join(folder, "keys")
        keys = {}
        for name, role in (("alice", "generate"), ("bob", "generate"), ("chief", "manage")):
            out = subprocess.run([limn, "keys", "add", name, "--role", role, "--keys", file], check=True,
                                 capture_output=True, text=True).stdout
            keys[name] = {"Authorization": "Bearer " + out.split()[-1]}
        with Server(limn, "--keys", file) as server:
            server.expect(401, "GET", "/api/v1/jobs")
            told = []
            thread = threading.Thread(target=lambda: told.extend(
                events(server, "/api/v1/events", lambda name, data: name == "gallery", keys["chief"])))
            thread.start()
            job = submit(server, keys["alice"])["id"]
            thread.join(60)
            assert any(data.get("id") == job for name, data in told if name == "job"), told
            server.expect(404, "GET", f"/api/v1/jobs/{job}", headers=keys["bob"])
            assert server.expect(200, "GET", "/api/v1/pictures", headers=keys["bob"])["total"] == 0
            assert server.expect(200, "GET", "/api/v1/pictures", headers=keys["alice"])["total"] == 1
            server.expect(403, "POST", "/api/v1/queue/pause", headers=keys["alice"])


def test_threads_wait_politely_unless_told_otherwise(limn):
    def variables(environment):
        with Server(limn, environment=environment) as server, open(f"/proc/{server.process.pid}/environ", "rb") as file:
            return file.read().split(b"\0")
    assert b"GOMP_SPINCOUNT=2000" in variables({})
    told = variables({"OMP_WAIT_POLICY": "ACTIVE"})
    assert not any(variable.startswith(b"GOMP_SPINCOUNT=") for variable in told), told


def main():
    limn = sys.argv[1]
    tests = {name: test for name, test in globals().items() if name.startswith("test_")}
    with Server(limn, "--threads", "1") as server:
        for name, test in tests.items():
            print(name[5:].replace("_", " "), flush=True)
            test(server if "server" in test.__code__.co_varnames[:1] else limn)
        assert server.stop() == 0, "".join(server.lines[-10:])


if __name__ == "__main__":
    main()
