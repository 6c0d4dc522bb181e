# SPDX-License-Identifier: Apache-2.0
"""Fixtures of limn/datasets: perceptual hashes by scipy and Pillow, and tar archives by Python's tarfile.

usage: datasets.py limn/datasets/testdata
"""
import io
import json
import pathlib
import sys
import tarfile

import numpy as np
from PIL import Image
from scipy.fft import dctn

OUT = pathlib.Path(sys.argv[1])
PICTURES = OUT.parent.parent / "image" / "testdata"
OUT.mkdir(parents=True, exist_ok=True)


def phash(path):
    """The DCT hash of Zauner 2010 over Rec. 601 luma."""
    rgb = np.asarray(Image.open(path).convert("RGB")).astype(int)
    grey = ((299 * rgb[..., 0] + 587 * rgb[..., 1] + 114 * rgb[..., 2] + 500) // 1000).astype(np.uint8)
    small = np.asarray(Image.fromarray(grey).resize((32, 32), Image.LANCZOS)).astype(float)
    low = dctn(small, type=2)[:8, :8].flatten()
    return "".join(str(int(v > np.median(low))) for v in low)


names = ["rgb.png", "grey.png", "color.jpg", "lossless.webp", "interlaced.png", "progressive.jpg"]
(OUT / "phash.json").write_text(json.dumps({n: f"{int(phash(PICTURES / n), 2):016x}" for n in names}, indent=1) + "\n")

LONG = "a/" * 70 + "long name beyond what ustar holds " + "x" * 60
for kind, format_ in (("ustar", tarfile.USTAR_FORMAT), ("gnu", tarfile.GNU_FORMAT), ("pax", tarfile.PAX_FORMAT)):
    with tarfile.open(OUT / f"{kind}.tar", "w", format=format_) as tar:
        for name, content in [("folder/first.png", b"picture"), ("folder/first.txt", "a naïve cat".encode()),
                              *([] if kind == "ustar" else [(LONG + ".png", b"second")]), ("third.empty", b"")]:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
        folder = tarfile.TarInfo("folder/below")
        folder.type = tarfile.DIRTYPE
        tar.addfile(folder)

with tarfile.open(OUT / "pictures.tar", "w", format=tarfile.USTAR_FORMAT) as tar:  # a WebDataset shard
    for i, beside in enumerate([("txt", "a naïve cat".encode()),
                                ("json", json.dumps({"caption": "a dog", "licence": "MIT"}).encode())]):
        png = io.BytesIO()
        Image.fromarray((np.indices((16, 16)).sum(0) * (i + 3) % 256).astype(np.uint8)).save(png, "png")
        for extension, content in [("png", png.getvalue()), beside]:
            info = tarfile.TarInfo(f"shard/{i:03}.{extension}")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
