# SPDX-License-Identifier: Apache-2.0
"""Runs one program of bench/programs.json on one case, in a process of its own: limn, or a peer by the protocol of
bench/peers/peer.py. Only the standard library: a child's peak memory counts what this process had."""
import array
import dataclasses
import json
import math
import os
import pathlib
import random
import subprocess
import tempfile
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
STAGES = ("load", "encode", "denoise", "decode")


class Failed(Exception):
    """Why there is no measurement; said in the table."""


@dataclasses.dataclass
class Place:
    """Where things are. Paths are absolute."""
    limn: str
    baseline: str | None
    peers_python: str
    models: pathlib.Path
    threads: int
    repeats: int | None = None  # instead of the case's
    peers: pathlib.Path = HERE / "peers"
    timeout: float = 3600


@dataclasses.dataclass
class Answer:
    measures: dict  # name: (values, unit)
    latents: array.array | None = None


def cpu_flags():
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return set()
    return next((set(line.split(":", 1)[1].split()) for line in lines if line.startswith(("flags", "Features"))), set())


def files_of(folder):
    return [path for path in sorted(folder.rglob("*")) if path.is_file()] if folder.is_dir() else [folder]


def set_cache(paths, cold):
    """Brings the files into the page cache, or asks that they leave it."""
    for path in paths:
        for file in files_of(path):
            descriptor = os.open(file, os.O_RDONLY)
            try:
                if cold:
                    os.fsync(descriptor)  # only clean pages can leave
                    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
                else:
                    while os.read(descriptor, 1 << 24):
                        pass
            finally:
                os.close(descriptor)


def write_noise(path, seed, shape):
    """Unit noise as limn's and the peers' init_latents."""
    draw = random.Random(seed)
    values = array.array("f", (draw.gauss(0, 1) for _ in range(math.prod(shape))))
    header = json.dumps({"latents": {"dtype": "F32", "shape": shape, "data_offsets": [0, 4 * len(values)]}}).encode()
    header += b" " * (-len(header) % 8)
    path.write_bytes(len(header).to_bytes(8, "little") + header + values.tobytes())


def read_latents(path):
    data = path.read_bytes()
    return array.array("f", data[8 + int.from_bytes(data[:8], "little"):])


def relative_l2(a, b):
    """‖a − b‖ / ‖b‖"""
    return math.dist(a, b) / math.hypot(*b) if len(a) == len(b) else math.inf


def last_line(data):
    lines = [line for line in data.decode(errors="replace").splitlines() if line.strip()]
    return lines[-1].strip() if lines else ""


def run_process(command, folder, place):
    """Output, wall seconds and resource usage of a command. It stays in this process group: Ctrl-C ends both."""
    environment = {**os.environ, "OMP_NUM_THREADS": str(place.threads), "HF_HUB_OFFLINE": "1",
                   "TRANSFORMERS_VERBOSITY": "error"}
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        begin = time.perf_counter()
        try:
            process = subprocess.Popen(command, cwd=folder, env=environment, stdout=out, stderr=err)
        except OSError as error:
            raise Failed(f"cannot run {command[0]}: {error.strerror}") from None
        timer = threading.Timer(place.timeout, process.kill)
        timer.start()
        try:
            _, status, usage = os.wait4(process.pid, 0)
        except BaseException:
            process.kill()
            raise
        finally:
            timer.cancel()
        wall = time.perf_counter() - begin
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        err.seek(0)
        if process.returncode != 0:
            reason = last_line(err.read()) or "no message"
            raise Failed(f"failed with exit {process.returncode}: {reason}"
                         if wall < place.timeout else f"stopped after {place.timeout:.0f} s")
        return out.read(), wall, usage


def flags_of(settings):
    return [text for name, value in settings.items() if name != "prompt"
            for text in ("--" + name.replace("_", "-"), str(value))]


def limn_command(program, case, place, folder):
    path = place.baseline if program["name"] == "baseline" else place.limn
    settings = {**case["request"], "dtype": program["dtype"], "threads": place.threads}
    if "model" in case:
        settings["model"] = place.models / case["model"]
    more = [*program.get("arguments", []), "--json"]
    if "part" in case:
        return [path, "bench", "--parts", case["part"], "--repeats", str(place.repeats or case["repeats"]),
                *flags_of(settings), *more]
    settings["output"] = folder / "picture.png"
    if "model" in case:
        settings |= {"init_latents": folder / "noise.safetensors", "save_latents": folder / "latents.safetensors",
                     "scheduler": "euler"}
    return [path, "generate", case["request"]["prompt"], *flags_of(settings), *more]


def peer_command(program, case, place, folder, task):
    request = {"task": task, "dtype": program["dtype"], **program.get("options", {}), **case["request"],
               "threads": place.threads, "model": str(place.models / case["model"]),
               "cache": str(place.models)}
    if "part" in case:
        request |= {"part": case["part"], "repeats": place.repeats or case["repeats"]}
    request |= {"init_latents": str(folder / "noise.safetensors"), "output": str(folder / "picture.png"),
                "save_latents": str(folder / "latents.safetensors")}
    return [place.peers_python, str(place.peers / program["file"]), json.dumps(request)]


def answers_of(output):
    try:
        answers = [json.loads(line) for line in output.decode().splitlines() if line.startswith("{")]
    except ValueError as error:
        raise Failed(f"its answer is not JSON: {error}") from None
    if not answers:
        raise Failed("it answered nothing")
    if "unavailable" in answers[-1]:
        raise Failed(answers[-1]["unavailable"])
    return answers


def check(program, case, place):
    """@throws Failed  when the program cannot run here at all"""
    if program["kind"] == "peer" and not os.access(place.peers_python, os.X_OK):
        raise Failed("not installed (make bench-peers)")
    if "model" in case and not (place.models / case["model"]).exists():
        raise Failed("its model is not there (make bench-peers makes it)")
    if program["kind"] == "peer" and "model" not in case:
        raise Failed("the embedded model is limn's alone")
    if program.get("needs") and not cpu_flags() & set(program["needs"]):
        raise Failed(f"the CPU has none of {', '.join(program['needs'])}")


def prepare(program, case, place):
    """What is done once and not timed. @throws Failed"""
    check(program, case, place)
    if program["kind"] == "peer":
        with tempfile.TemporaryDirectory() as name:
            command = peer_command(program, case, place, pathlib.Path(name), "prepare")
            answers_of(run_process(command, name, place)[0])


def run(program, case, place):
    """One run in an empty folder. @throws Failed"""
    paths = [place.models / case["model"]] if "model" in case else []
    paths += [path for pattern in program.get("reads", []) for path in place.models.glob(pattern)]
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        if "model" in case and "part" not in case:
            size = case["request"]
            write_noise(folder / "noise.safetensors", 7, [1, 4, size["height"] // 8, size["width"] // 8])
        command = (limn_command(program, case, place, folder) if program["kind"] == "limn" else
                   peer_command(program, case, place, folder, "part" if "part" in case else "run"))
        set_cache(paths, case.get("start") == "cold")
        output, wall, usage = run_process(list(map(str, command)), name, place)
        answers = answers_of(output)
        measures = {"peak memory": ([usage.ru_maxrss / 1024], "MiB")}
        try:
            if "part" in case:
                measures |= {"time": (list(map(float, answers[-1]["seconds"])), "s"),
                             "load": ([float(answers[-1]["load"])], "s")}
                return Answer(measures)
            # Of the stages, only decoding is timed picture by picture; the others are the whole batch's, repeated.
            times = [answer.get("timings", answer) for answer in answers]
            stages = {stage: times[0][stage] for stage in STAGES} | {"decode": sum(t["decode"] for t in times)}
        except (KeyError, TypeError, ValueError) as error:
            raise Failed(f"its answer lacks {error}") from None
        measures |= {stage: ([seconds], "s") for stage, seconds in stages.items()}
        measures |= {"time": ([wall], "s"), "read from disk": ([usage.ru_inblock / 2048], "MiB")}
        latents = folder / "latents.safetensors"
        return Answer(measures, read_latents(latents) if latents.exists() else None)
