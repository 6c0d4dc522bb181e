# SPDX-License-Identifier: Apache-2.0
"""Checks every #include of limn/<folder>/ against limn/LAYERS, and that only the marked folders see LibTorch."""
import pathlib
import re
import sys

root = pathlib.Path(__file__).resolve().parent.parent
allowed = {}
for line in (root / "limn" / "LAYERS").read_text().splitlines():
    if line and not line.startswith("#"):
        folder, others = line.split(":")
        allowed[folder] = set(others.split()) | {folder}

# Headers of a folder that sees LibTorch, which must not show it.
torch_free_headers = {root / "limn" / "engine" / name for name in ("engine.h", "measure.h", "request.h")}

problems = []
for path in sorted((root / "limn").rglob("*")):
    if path.suffix not in {".h", ".cpp"}:
        continue
    folder = path.relative_to(root / "limn").parts[0]
    test = path.stem.endswith(("_test", "_bench", "_fuzz"))
    for number, line in enumerate(path.read_text().splitlines(), 1):
        found = re.match(r'\s*#\s*include\s*(?:"limn/(\w+)/|<(ATen|c10|torch)/)', line)
        if not found:
            continue
        other = found[1] or "torch"
        if other == "torch" and path in torch_free_headers:
            problems.append(f"{path.relative_to(root)}:{number}: a public header must not show LibTorch")
        elif other not in allowed[folder] and not (test and other == "weights"):  # tests read goldens
            problems.append(f"{path.relative_to(root)}:{number}: {folder} must not include {other}")
print("\n".join(problems) or "layers: as limn/LAYERS says")
sys.exit(bool(problems))
