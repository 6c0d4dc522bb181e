# SPDX-License-Identifier: Apache-2.0
"""Measures limn and its peers on the cases of bench/cases, interleaved; see bench/README.md.

    python3 bench/run.py --limn PROGRAM [--only 'step_*'] [--out RESULTS.jsonl] [--write DOCUMENT]…
    python3 bench/run.py --from RESULTS.jsonl --write DOCUMENT…

A round runs every program of a case once, in turn; every other round goes backwards, so that a machine that gets slower
or faster touches all alike. LIMN_BENCH_BASELINE=path/to/another/limn is run beside limn.
"""
import argparse
import datetime
import fnmatch
import json
import os
import pathlib
import platform
import shlex
import shutil
import subprocess
import sys

import programs as running
import report

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent
TO_SECONDS = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1}


def machine():
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def commit():
    try:
        result = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True)
    except OSError:
        return ""
    return result.stdout.strip()


def say(text):
    print(f"limn: {text}", file=sys.stderr, flush=True)


def micro(path, shared):
    """Rows of what Google Benchmark measured."""
    found = {}
    for row in json.loads(pathlib.Path(path).read_text())["benchmarks"]:
        if row["run_type"] == "iteration":
            rounds = found.setdefault(row["run_name"], [])
            rounds.append([row["real_time"] * TO_SECONDS[row["time_unit"]]])
    program = {"name": "limn", "kind": "limn", "dtype": ""}
    return [row for name, rounds in found.items()
            for row in report.rows_of(name, [program], {("limn", "time"): (rounds, "s")}, {}, shared)]


def measure_case(case, chosen, place, rounds, shared):
    """Every program, round by round. One that fails is said in the table, and not run again."""
    found, failures, reference = {}, {}, None
    for program in chosen:
        try:
            say(f"{case['name']}: preparing {program['name']}")
            running.prepare(program, case, place)
        except running.Failed as failure:
            failures[program["name"]] = str(failure)
    for turn in range(rounds):
        for program in chosen[::1 if turn % 2 == 0 else -1]:
            if program["name"] in failures:
                continue
            say(f"{case['name']}: round {turn + 1} of {rounds}, {program['name']}")
            try:
                answer = running.run(program, case, place)
            except running.Failed as failure:
                failures[program["name"]] = str(failure)
                continue
            for measure, (values, unit) in answer.measures.items():
                found.setdefault((program["name"], measure), ([], unit))[0].append(values)
            if answer.latents is None:
                continue
            # The first to answer is what the others are compared with: do they all do the same work?
            reference = reference or (program["name"], answer.latents)
            if program["name"] != reference[0]:
                found.setdefault((program["name"], "difference"), ([], ""))[0].append(
                    [running.relative_l2(answer.latents, reference[1])])
    return report.rows_of(case["name"], chosen, found, failures, shared)


def matches(name, patterns):
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--limn", help="the program")
    parser.add_argument("--cases", type=pathlib.Path, default=HERE / "cases", help="folder of *.json")
    parser.add_argument("--only", nargs="+", default=["*"], metavar="CASE", help="names or patterns of cases")
    parser.add_argument("--programs-file", type=pathlib.Path, default=HERE / "programs.json")
    parser.add_argument("--programs", nargs="+", default=["*"], metavar="NAME", help="names or patterns of programs")
    parser.add_argument("--peers", type=pathlib.Path, default=HERE / "peers", help="folder of the peers' programs")
    parser.add_argument("--peers-python", default=str(ROOT / "build" / "bench-peers-venv" / "bin" / "python"))
    parser.add_argument("--models", type=pathlib.Path,
                        default=pathlib.Path(os.environ.get("LIMN_BENCH_MODELS") or ROOT / "build" / "bench-models"))
    parser.add_argument("--threads", type=int,
                        default=int(os.environ.get("OMP_NUM_THREADS") or len(os.sched_getaffinity(0))))
    parser.add_argument("--rounds", type=int, help="instead of each case's own")
    parser.add_argument("--repeats", type=int, help="likewise, of parts, in one process")
    parser.add_argument("--micro", nargs="*", default=[], metavar="JSON", help="what Google Benchmark wrote")
    parser.add_argument("--out", type=pathlib.Path, help="JSON lines are added to it")
    parser.add_argument("--from", dest="results", type=pathlib.Path, help="measure nothing; use these JSON lines")
    parser.add_argument("--write", nargs="+", default=[], metavar="DOCUMENT", help="fill its marked sections")
    parser.add_argument("--command", default=shlex.join(["python3", *sys.argv]), help="what the documents say was run")
    arguments = parser.parse_args()
    if not arguments.results and not arguments.limn:
        parser.error("--limn or --from is needed")
    return arguments


def absolute(program):
    """A file, or a name on PATH."""
    return os.path.abspath(shutil.which(program) or program)


def keep(out, rows):
    if out:
        out.parent.mkdir(parents=True, exist_ok=True)
        with open(out, "a", encoding="utf-8") as file:
            file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def measure(arguments):
    shared = {"threads": arguments.threads, "commit": commit(), "machine": machine(),
              "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
              "command": arguments.command}
    baseline = os.environ.get("LIMN_BENCH_BASELINE")
    place = running.Place(limn=absolute(arguments.limn), baseline=baseline and absolute(baseline),
                          peers_python=os.path.abspath(arguments.peers_python), models=arguments.models.resolve(),
                          threads=arguments.threads, repeats=arguments.repeats, peers=arguments.peers.resolve())
    known = json.loads(arguments.programs_file.read_text())
    if baseline:
        known.insert(1, {"name": "baseline", "kind": "limn", "dtype": "float32"})
    cases = [json.loads(path.read_text()) for path in sorted(arguments.cases.glob("*.json"))]
    rows = [row for path in arguments.micro for row in micro(path, shared)]
    keep(arguments.out, rows)
    for case in cases:
        if not matches(case["name"], arguments.only):
            continue
        chosen = [program for program in known if program["name"] == "baseline" or
                  matches(program["name"], arguments.programs) and matches(program["name"], case.get("programs", ["*"]))]
        made = measure_case(case, chosen, place, arguments.rounds or case["rounds"], shared)
        keep(arguments.out, made)  # case by case: what is measured stays when the next is stopped
        rows += made
    print(f"{shared['machine']}, {shared['threads']} threads, commit {shared['commit'] or 'unknown'}")
    print(report.table(rows))
    return rows


def main():
    arguments = parse()
    if arguments.results:
        rows = [json.loads(line) for line in arguments.results.read_text().splitlines()]
    else:
        rows = measure(arguments)
    for document in arguments.write:
        report.write_sections(document, rows)


if __name__ == "__main__":
    main()
