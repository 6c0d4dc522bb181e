# SPDX-License-Identifier: Apache-2.0
"""Token ids by transformers' CLIPTokenizer -> limn/text/testdata/tokens.json, and a small tokenizer folder.

usage: tokens.py REPOSITORY
"""
import json
import os
import random
import shutil
import sys

import transformers
from transformers import CLIPTokenizer

root = sys.argv[1]
out = os.path.join(root, "limn", "text", "testdata")
embedded = os.path.join(root, "data", "embedded", "tokenizer")
tokenizer = CLIPTokenizer.from_pretrained(embedded)

texts = [
    "", " ", "a red apple", "A RED Apple", "  two   spaces\tand\nlines  ", "it's, we'll; they've! I'm I'd you're don't 's",
    "rock'n'roll '90s ''s 'S", "1234567 3.14 ½ ² Ⅷ ٣", "naïve café CAFÉ e\u0301 \u212b ﬁ", "灯塔在雾中 東京 서울", "маяк в тумане",
    "🗼🏽👩‍🚀🇩🇪 emoji", "İstanbul ISPARTA ı ß ẞ Σίσυφος ΣΑΣ", "Ǆ ǅ ǆ", "<|startoftext|>a<|endoftext|> b", "<|endoftext", "a<|STARTOFTEXT|>b",
    "(masterpiece:1.3), [x], {y}|z \\( \\)", "a\u00a0b\u2003c\u3000d\u200be\ufefff", "\x01\x7f\x85\u2028x", "x" * 300, "!" * 200, "…“quotes”—dash",
    "hello_world under__score", "日本語English混ざり123数字", "نص عربي ١٢٣", "हिन्दी देवनागरी", "ภาษาไทย", "\U0001d49c\U0001d4b7 math", "a" + "\u0300" * 20,
    " ".join(f"word{i}" for i in range(120)), "Supercalifragilisticexpialidocious antidisestablishmentarianism",
]
rng = random.Random(0)
pools = [range(32, 127), range(0xA0, 0x250), range(0x370, 0x530), range(0x600, 0x700), range(0x900, 0xA00), range(0x1E00, 0x2100),
         range(0x2150, 0x2190), range(0x3040, 0x3100), range(0x4E00, 0x4F00), range(0xAC00, 0xAD00), range(0x1F300, 0x1F700)]
for _ in range(150):
    texts.append("".join(chr(rng.choice(rng.choice(pools))) for _ in range(rng.randrange(1, 24))))

rows = [dict(text=t, ids=tokenizer(t, add_special_tokens=False).input_ids) for t in texts]
padded = [dict(text=t, ids=tokenizer(t, padding="max_length", max_length=77, truncation=True).input_ids)
          for t in ("", "a red apple", " ".join(f"word{i}" for i in range(120)))]
json.dump(dict(transformers=transformers.__version__, rows=rows, padded=padded), open(f"{out}/tokens.json", "w"))

# The first 700 merges only, padded with "!" to 20 tokens: another vocabulary, as Stable Diffusion 2's tokenizer pads.
small = os.path.join(out, "small_tokenizer")
shutil.rmtree(small, ignore_errors=True)
os.makedirs(small)
merges = open(f"{embedded}/merges.txt", encoding="utf-8").read().split("\n")[1:701]
symbols = sorted(json.load(open(f"{embedded}/vocab.json")).items(), key=lambda row: row[1])[:512]
vocabulary = [name for name, _ in symbols] + ["".join(m.split()) for m in merges] + ["<|startoftext|>", "<|endoftext|>"]
json.dump({t: i for i, t in enumerate(vocabulary)}, open(f"{small}/vocab.json", "w"), ensure_ascii=False)
open(f"{small}/merges.txt", "w").write("#version: 0.2\n" + "\n".join(merges) + "\n")
special = dict(bos_token="<|startoftext|>", eos_token="<|endoftext|>", unk_token="<|endoftext|>", pad_token="!")
json.dump(dict(tokenizer_class="CLIPTokenizer", model_max_length=20, **special), open(f"{small}/tokenizer_config.json", "w"))
t = CLIPTokenizer.from_pretrained(small)
json.dump([dict(text=x, ids=t(x, padding="max_length", max_length=20, truncation=True).input_ids)
           for x in ("the lighthouse", "", "a very long text that cannot possibly fit into so few tokens, can it?")],
          open(f"{out}/small_tokens.json", "w"))
