# SPDX-License-Identifier: Apache-2.0
"""Measures whole runs of limn, and reports them with what Google Benchmark measured.

    python3 tools/bench.py PROGRAM CASES_FOLDER OUT [MICRO_JSON…]

Cases are run in turn, one run of each a round, so that a machine that gets slower or faster touches all alike.
LIMN_BENCH_BASELINE=path/to/another/limn is run beside PROGRAM, first in every other round. OUT gets JSON lines.
"""
import collections
import datetime
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import tempfile
import time

STAGES = ("load", "encode", "denoise", "decode")
ROOT = pathlib.Path(__file__).resolve().parent.parent
TO_SECONDS = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1}


def cpu():
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def commit():
    result = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True)
    return result.stdout.strip()


def threads(arguments=()):
    if "--threads" in arguments:
        return int(arguments[arguments.index("--threads") + 1])
    return int(os.environ.get("OMP_NUM_THREADS") or len(os.sched_getaffinity(0)))


def run(program, arguments):
    """One run in an empty folder: {measure: (value, unit)}."""
    with (tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err):
        begin = time.perf_counter()
        process = subprocess.Popen([program, "generate", *arguments, "--json"], cwd=folder, stdout=out, stderr=err)
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - begin
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            err.seek(0)
            raise SystemExit(f"{program} generate {arguments}: exit {process.returncode}\n{err.read().decode()}")
        out.seek(0)
        pictures = [json.loads(line)["timings"] for line in out]
    # Of the stages, only decoding is timed picture by picture; the others are the whole batch's, repeated.
    times = {stage: (pictures[0][stage], "s") for stage in STAGES}
    times["decode"] = (sum(picture["decode"] for picture in pictures), "s")
    return {**times, "wall": (wall, "s"), "peak memory": (usage.ru_maxrss / 1024, "MiB")}


def measure(programs, cases):
    """{(case, program, measure): (values, unit, threads)}"""
    found = {}
    for turn in range(max((case["runs"] for case in cases), default=0)):
        for case in cases:
            if turn >= case["runs"]:
                continue
            for name, program in list(programs.items())[::1 if turn % 2 == 0 else -1]:
                print(f"limn: {case['name']}, run {turn + 1} of {case['runs']}, {name}", file=sys.stderr)
                for key, (value, unit) in run(program, case["arguments"]).items():
                    row = found.setdefault((case["name"], name, key), ([], unit, threads(case["arguments"])))
                    row[0].append(value)
    return found


def micro(path):
    found = collections.defaultdict(lambda: ([], "s", threads()))
    for row in json.loads(pathlib.Path(path).read_text())["benchmarks"]:
        if row["run_type"] == "iteration":
            found[row["run_name"], "limn", "time"][0].append(row["real_time"] * TO_SECONDS[row["time_unit"]])
    return found


def main():
    program, folder, out, *files = sys.argv[1:]
    programs = {"limn": str(pathlib.Path(program).resolve())}
    if baseline := os.environ.get("LIMN_BENCH_BASELINE"):
        programs["baseline"] = str(pathlib.Path(baseline).resolve())
    cases = [json.loads(path.read_text()) for path in sorted(pathlib.Path(folder).glob("*.json"))]

    found = {}
    for path in files:
        found |= micro(path)
    found |= measure(programs, cases)

    now = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
    shared = {"commit": commit(), "machine": cpu(), "date": now}
    print(f"{shared['machine']}, {threads()} threads, commit {shared['commit'] or 'unknown'}")
    print(f"{'case':<36}{'program':<10}{'median':>11}{'min':>11}{'max':>11} unit  runs{'ratio':>8}")
    lines = []
    for (case, name, key), (values, unit, count) in found.items():
        median, least, most = statistics.median(values), min(values), max(values)
        against = found.get((case, "baseline", key)) if name == "limn" else None
        ratio = f"{median / statistics.median(against[0]):8.3f}" if against and statistics.median(against[0]) else ""
        print(f"{f'{case} {key}':<36}{name:<10}{median:>11.5g}{least:>11.5g}{most:>11.5g} {unit:<5}{len(values):>5}"
              f"{ratio}")
        # Of a baseline only the results are known, not which commit it is.
        row = {"case": f"{case}/{key}", "program": name, "median": median, "min": least, "max": most,
               "runs": len(values), "unit": unit, "threads": count, **shared}
        lines.append(row | ({"commit": ""} if name == "baseline" else {}))
    with open(out, "a", encoding="utf-8") as file:
        file.writelines(json.dumps(line) + "\n" for line in lines)


main()
