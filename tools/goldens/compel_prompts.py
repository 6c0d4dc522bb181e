# SPDX-License-Identifier: Apache-2.0
"""Writes tests/goldens/families/compel.{json,safetensors}: prompts in Compel's language, what its parser makes of them, and
their conditionings through the text encoders of the tiny models sd1 and sdxl (CompelForSD, CompelForSDXL).

usage: compel.py REPOSITORY
"""
import json
import os
import sys

import torch
from compel import Compel, CompelForSD, CompelForSDXL
from compel.prompt_parser import Blend
from diffusers import StableDiffusionPipeline, StableDiffusionXLPipeline
from safetensors.torch import save_file

ROOT = os.path.join(sys.argv[1], "tests", "goldens", "families")
LONG = "a cat. " + "fog and stone, " * 9 + "a tower"
PARSED = [
    "", "  ", "a cat", "a cat++ sat", "a cat--", "a (big cat)1.3 sat", "a (big cat)++, red", '"a big cat"+ sat',
    "((a cat)1.2 and (a dog)0.5)2 here", "cat.attend(1.5) dog", "(a cat).attend(0.5)", "a+b well-known x-",
    "a \\(big\\) cat", "unclosed (cat++", "closed) cat", "(it's - fine)1.2", "a,b,c", "(a,b.c)1.5", "f/1.4 (f/1.4)1.1",
    '("a cat", "a dog").blend(0.3, 0.7)', '("a cat++", (a dog)).blend(1, -0.5, no_normalize)', "(cat, dog).blend()",
    '("a cat", "a (dog)1.4").and(1, 0.5)', '("a", "b").add()', '("a, b.", "c; d - e").and()', "(cat)5 dogs",
    '"say \\"hi\\"+"1.5', "cat+- dog", "((((cat))))", "(cat)+(dog)-", "(a (b)+ c)- d", "\\( \\) \\+ \\-", "1- 2+ 3.5++",
    "a b c", "(-1.5 things)1.5", "()", "a () b", "é++ 日本-", "(new\nline)1.2",
]
SD = [("a cat++ in (fog)1.4", ""), ("a cat-- in (fog)0.4 and (stone)0.7", "blurry+"), ("a \\(cat\\)", "grey"),
      ('("a cat", "fog and stone").blend(0.3, 0.7)', ""), ('("a cat", "fog").blend(1, -0.5, no_normalize)', ""),
      ('("a cat++", "fog and stone").and(1, 0.5)', "grey"), (LONG, "grey"), (f"({LONG})0.6 +", ""), ("cat", LONG)]
XL = [("a cat++ in (fog)0.5", "grey"), ('("a cat", "fog").and()', "")]


def parsed(text):
    out = []
    conjunction = Compel.parse_prompt_string(text)
    for part, weight in zip(conjunction.prompts, conjunction.weights):
        blend = isinstance(part, Blend)
        out.append(dict(prompts=[[[c.text, c.weight] for c in p.children] for p in (part.prompts if blend else [part])],
                        blend=part.weights if blend else [1.0],
                        normalizes=part.normalize_weights if blend else True, weight=weight))
    return dict(text=text, parts=out)


tensors, runs = {}, []


def add(name, model, prompt, negative, made):
    runs.append(dict(name=name, model=model, prompt=prompt, negative_prompt=negative))
    for key in ("embeds", "negative_embeds", "pooled_embeds", "negative_pooled_embeds"):
        value = getattr(made, key)
        if value is not None:
            tensors[f"{name}.{key}"] = value.contiguous().clone()


def pipeline(kind, name):
    return kind.from_pretrained(f"{ROOT}/{name}", torch_dtype=torch.float32)


with torch.no_grad():
    compel = CompelForSD(pipeline(StableDiffusionPipeline, "sd1"))
    for i, (prompt, negative) in enumerate(SD):
        add(f"sd1_{i}", "sd1", prompt, negative, compel(prompt, negative_prompt=negative))
    compel = CompelForSDXL(pipeline(StableDiffusionXLPipeline, "sdxl"))
    for i, (prompt, negative) in enumerate(XL):
        add(f"sdxl_{i}", "sdxl", prompt, negative, compel(prompt, negative_prompt=negative))
json.dump(dict(parsed=[parsed(text) for text in PARSED], runs=runs),
          open(f"{ROOT}/compel.json", "w"), indent=1, ensure_ascii=False)
save_file(tensors, f"{ROOT}/compel.safetensors")
print({k: tuple(v.shape) for k, v in tensors.items()})
