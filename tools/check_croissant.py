# SPDX-License-Identifier: Apache-2.0
"""Checks a Croissant file with MLCommons' own library (pip install mlcroissant): check_croissant.py FILE"""
import json
import sys

import mlcroissant

dataset = mlcroissant.Dataset(jsonld=json.load(open(sys.argv[1])))
issues = dataset.metadata.ctx.issues
print(issues.report() or f"{dataset.metadata.name}: valid, {len(dataset.metadata.record_sets[0].fields)} fields")
sys.exit(bool(issues.errors))
