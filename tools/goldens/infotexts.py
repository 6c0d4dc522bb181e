# SPDX-License-Identifier: Apache-2.0
"""Makes limn/provenance/testdata/infotexts.json: texts with what other readers find in them.

Usage: python tools/goldens/infotexts.py OUTPUT_FOLDER
Two readers: the rule A1111's documentation of its text gives (a regular expression over the last line), and
sd-parsers 0.6, an independent program, where it reads the kind of text at all.
"""
import json
import pathlib
import re
import sys

from sd_parsers.parsers import AUTOMATIC1111Parser

PAIR = re.compile(r'\s*(\w[\w \-/]+):\s*("(?:\\.|[^\\"])+"|[^,]*)(?:,|$)')

# The text limn writes for the record in infotext_test.cpp.
LIMN = """a lighthouse in fog, (dusk:1.2)
second line
Negative prompt: blurry, low quality
Steps: 20, Sampler: DPM++ 2M, Schedule type: Karras, CFG scale: 6.25, Seed: 18446744073709551615, Size: 512x768, \
Model hash: 0123456789, Model: "sd-1.5, pruned: ema", Denoising strength: 0.6, Clip skip: 2, RNG: CPU, Eta DDIM: 0.5, \
Version: limn 0.1.0"""

TEXTS = {
    "limn": LIMN,
    "simple": "a cat\nNegative prompt: dog\nSteps: 20, Sampler: Euler a, CFG scale: 7, Seed: 965400086, Size: 512x512, "
              "Model hash: 45dee52b, Model: sd-v1",
    "no negative prompt": "a cat\nSteps: 20, Sampler: Euler, CFG scale: 7, Seed: 1, Size: 512x512",
    "lines": "first\nsecond, third\n\nfourth\nNegative prompt: one\ntwo\nSteps: 28, Sampler: DPM++ 2M Karras, "
             "CFG scale: 5.5, Seed: 3, Size: 832x1216",
    "no prompt": "Negative prompt: blurry\nSteps: 20, Sampler: Euler, CFG scale: 7, Seed: 1",
    "only fields": "Steps: 20, Sampler: Euler, CFG scale: 7, Seed: 1",
    "no fields": "a cat, sitting\non a mat",
    "two pairs are a prompt": "a cat\nartist: someone, style: oil",
    "quoted": 'a cat\nSteps: 20, Sampler: Euler, CFG scale: 7, Seed: 1, Lora hashes: "detail: 1a2b, more: 3c4d", '
              'TI hashes: "bad \\"hand\\": 00ff", Hires prompt: "a\\nb", Version: v1.10.1',
    "broken quotes": 'a cat\nSteps: 20, Sampler: Euler, CFG scale: 7, Seed: 1, A name: "open, B name: "x" tail, '
                     'C name: "", D name: "\\q"',
    "odd keys": "a cat\nSteps: 20, Sampler: Euler, -x: 1, a: 2, Token merging ratio/hr: 0.5, Mask-blur: 4, _k: 1, Seed: ",
    "wide characters": "灯台 🌊, naïve\nNegative prompt: ぼやけた\nSteps: 20, Sampler: Euler, CFG scale: 7, Seed: 1, Model: 絵",
    "spaces": "  a cat  \r\n  Negative prompt:   dog  \r\n  Steps: 20,  Sampler:  Euler ,CFG scale:7, Seed: 1  \n",
    "empty": "",
}


def by_rule(text):
    lines = text.strip().split("\n")
    fields = PAIR.findall(lines[-1])
    if len(fields) < 3:
        fields = []
    else:
        lines.pop()
    prompts, side = ["", ""], 0
    for line in map(str.strip, lines):
        if line.startswith("Negative prompt:"):
            side, line = 1, line[len("Negative prompt:"):].strip()
        prompts[side] += ("\n" if prompts[side] else "") + line
    return {"prompt": prompts[0], "negative_prompt": prompts[1], "fields": [[k, unquote(v)] for k, v in fields]}


def unquote(value):
    if not (value.startswith('"') and value.endswith('"') and len(value) > 1):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return value


def by_sd_parsers(text):
    try:
        sampler = AUTOMATIC1111Parser().parse({"parameters": text}).samplers[0]
    except Exception:  # it refuses texts without sampler fields
        return None
    text_of = lambda prompts: prompts[0].value if prompts else ""
    return {"prompt": text_of(sampler.prompts), "negative_prompt": text_of(sampler.negative_prompts),
            "Sampler": sampler.name, **{key: sampler.parameters.get(name, "") for key, name in
                                        [("Seed", "seed"), ("Steps", "steps"), ("CFG scale", "cfg_scale")]}}


def main():
    cases = [{"name": name, "text": text, "rule": by_rule(text), "sd_parsers": by_sd_parsers(text)}
             for name, text in TEXTS.items()]
    folder = pathlib.Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "infotexts.json").write_text(json.dumps(cases, indent=1, ensure_ascii=False) + "\n")


main()
