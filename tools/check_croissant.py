# SPDX-License-Identifier: Apache-2.0
"""Checks a Croissant file with MLCommons' own library, and that it reads every row of the manifest beside it.

usage: check_croissant.py FILE     (pip install mlcroissant; 1.1.1 was used)
"""
import hashlib
import pathlib
import sys

import mlcroissant

path = pathlib.Path(sys.argv[1])
dataset = mlcroissant.Dataset(jsonld=str(path))
issues = dataset.metadata.ctx.issues
print(issues.report() or "valid, no warnings")

manifest = (path.parent / "manifest.jsonl").read_bytes()
promised = dataset.metadata.distribution[0].sha256
rows = sum(1 for _ in dataset.records("pictures"))
good = rows == manifest.count(b"\n") and hashlib.sha256(manifest).hexdigest() == promised
print(f"{dataset.metadata.name}: {rows} records, manifest {'as promised' if good else 'NOT as promised'}")
sys.exit(bool(issues.errors) or not good)
