# SPDX-License-Identifier: Apache-2.0
"""Runs tests/cli/*.case against the program: one case a file, several commands a case.

    $ limn info nothing.safetensors          a command; runs in an empty folder; {goldens} is tests/goldens
    exit 3                                   its exit status (default 0)
    stdout TEXT / stderr TEXT                must occur in that stream
    !stdout TEXT / !stderr TEXT              must not
    file NAME / !file NAME                   must exist / must not
    same A B                                 two files of equal bytes
    near A B                                 two files of latents, within 1e-5 relative L2
A line that starts with # is a comment. A shell runs the command, so pipes and redirections work.
"""
import array
import filecmp
import math
import os
import pathlib
import subprocess
import sys
import tempfile

program, here = pathlib.Path(sys.argv[1]).resolve(), pathlib.Path(__file__).resolve().parent
environment = {**os.environ, "PATH": f"{program.parent}:{os.environ['PATH']}"}
goldens = here.parent / "goldens"


def latents(path):
    """The float32 values of the file's only tensor."""
    data = path.read_bytes()
    begin = 8 + int.from_bytes(data[:8], "little")
    return array.array("f", data[begin:])


def distance(a, b):
    """‖a − b‖ / ‖b‖"""
    return math.dist(a, b) / math.hypot(*b)


def check(word, rest, result, folder):
    negative = word.startswith("!")
    kind = word.lstrip("!")
    if kind == "exit":
        return result.returncode == int(rest), f"exit {result.returncode}"
    if kind in ("stdout", "stderr"):
        text = getattr(result, kind)
        return (rest in text) != negative, f"{kind}: {text}"
    if kind == "file":
        return (folder / rest).exists() != negative, "files: " + ", ".join(sorted(p.name for p in folder.iterdir()))
    if kind == "same":
        return filecmp.cmp(*(folder / name for name in rest.split()), shallow=False), "they differ"
    if kind == "near":
        found = distance(*(latents(folder / name) for name in rest.split()))
        return found < 1e-5, f"relative L2 {found}"
    raise SystemExit(f"no check '{word}'")


def run(case):
    failures, result, checked_exit = [], None, True
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        lines = [*case.read_text().splitlines(), "$ true"]
        for number, line in enumerate(lines, 1):
            if not line.strip() or line.startswith("#"):
                continue
            word, _, rest = line.partition(" ")
            if word == "$":
                if not checked_exit and result.returncode != 0:
                    failures.append(f"{case.name}: exit {result.returncode} of: {command}\n{result.stderr}")
                command = rest.replace("{goldens}", str(goldens))
                result = subprocess.run(["bash", "-c", command], cwd=folder, env=environment, capture_output=True,
                                        text=True, errors="replace", timeout=300)
                checked_exit = False
                continue
            checked_exit |= word == "exit"
            good, found = check(word, rest, result, folder)
            if not good:
                failures.append(f"{case.name}:{number}: expected {line}\n  after {command}\n  {found}")
    return failures


cases = sorted(here.glob("*.case"))
failed = 0
for case in cases:
    failures = run(case)
    failed += bool(failures)
    print("\n".join(failures) or f"ok {case.stem}", flush=True)
print(f"{len(cases) - failed} passed, {failed} failed")
sys.exit(failed > 0)
