# SPDX-License-Identifier: Apache-2.0
"""Checks of finished runs' logs that the loss fell: check_training.py RUN…"""
import json
import pathlib
import sys

for name in sys.argv[1:]:
    rows = [json.loads(line) for line in (pathlib.Path(name) / "log.jsonl").read_text().splitlines()]
    losses = [row["loss"] for row in rows if "loss" in row]
    tenth = max(1, len(losses) // 10)
    first, last = sum(losses[:tenth]) / tenth, sum(losses[-tenth:]) / tenth
    speed = sorted(row["samples_per_second"] for row in rows if "samples_per_second" in row)[len(losses) // 2]
    loading = sorted(row["loading_share"] for row in rows if "loading_share" in row)[len(losses) // 2]
    validation = {key: row[key] for row in rows for key in ("validation/psnr", "validation/loss") if key in row}
    print(f"{name}: loss {first:.4f} → {last:.4f}, {speed:.1f} samples/s, {100 * loading:.1f} % of the time waiting for data,",
          ", ".join(f"{key} {value:.4f}" for key, value in validation.items()))
    if not last < 0.9 * first:
        sys.exit(f"limn: {name}: the loss did not fall")
