# SPDX-License-Identifier: Apache-2.0
"""Checks that the files and functions docs/architecture.md names exist, that docs/operate.md names every setting of the server, and
that links between documents lead somewhere."""
import pathlib
import re
import sys

root = pathlib.Path(__file__).resolve().parent.parent
problems = []
for row in (root / "docs" / "architecture.md").read_text().splitlines():
    cell = re.match(r"\|\s*\d+\s*\|\s*\[`([^`]+)`\]\(([^)]+)\)\s*\|\s*`([^`]+)`", row)
    if not cell:
        continue
    path = root / "limn" / cell[1]
    if not path.exists():
        problems.append(f"docs/architecture.md: no file limn/{cell[1]}")
    elif not re.search(rf"\b{re.escape(cell[3].split('::')[-1])}\b", path.read_text()):
        problems.append(f"docs/architecture.md: limn/{cell[1]} has no {cell[3]}")
operate = (root / "docs" / "operate.md").read_text()
settings = re.findall(r'^    \{"(\w+)", k(?:Server|Both),', (root / "limn" / "server" / "settings.cpp").read_text(), re.M)
for flag in ["--" + name.replace("_", "-") for name in settings]:
    if not re.search(rf"{flag}(?![\w-])", operate):
        problems.append(f"docs/operate.md: does not name {flag}")
if not settings:
    problems.append("limn/server/settings.cpp: no settings were found")
for path in [*root.glob("*.md"), *(root / "docs").rglob("*.md"), *(root / "limn").rglob("*.md")]:
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", path.read_text()):
        if not (path.parent / target).exists():
            problems.append(f"{path.relative_to(root)}: link to {target} leads nowhere")
print("\n".join(problems) or "docs: names and links exist")
sys.exit(bool(problems))
