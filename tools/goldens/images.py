# SPDX-License-Identifier: Apache-2.0
"""Makes limn/image/testdata: picture files by Pillow and piexif with the pixels and texts they hold.

Usage: python tools/goldens/images.py OUTPUT_FOLDER
Made with Pillow 13.0.0 (libjpeg-turbo 3.2, libwebp 1.6), piexif 1.1.3.

Pixels of NAME are in NAME.pixels: "WIDTH HEIGHT CHANNELS\n" and the bytes, packed by zlib.
Resize cases are IN.pixels → NAME.pixels, the target's size in its header.
"""
import json
import pathlib
import random
import struct
import sys
import zlib

import piexif
import piexif.helper
from PIL import Image, ImageOps, PngImagePlugin

INFOTEXT = (
    "a lighthouse in fog, naïve, 灯台 🌊\nsecond line\nNegative prompt: blurry\n"
    "Steps: 20, Sampler: Euler a, CFG scale: 7, Seed: 42, Size: 512x512, Version: v1.10.1"
)
COMFY_PROMPT = {"3": {"class_type": "KSampler", "inputs": {"seed": 5, "text": "灯台"}}}
COMFY_WORKFLOW = {"nodes": [], "version": 0.4}


def picture(width, height, mode, seed=0):
    """Smooth shapes with some noise, so that every codec and filter has something to do."""
    dice = random.Random(seed)
    bands = len(Image.new(mode, (1, 1)).getbands())
    data = bytearray()
    for y in range(height):
        for x in range(width):
            for c in range(bands):
                data.append((x * (7 + 3 * c) + y * (5 + 11 * c) + dice.randrange(60)) % 256)
    return Image.frombytes(mode, (width, height), bytes(data))


class Writer:
    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)

    def pixels(self, name, image):
        header = f"{image.width} {image.height} {len(image.getbands())}\n".encode()
        (self.folder / f"{name}.pixels").write_bytes(zlib.compress(header + image.tobytes(), 9))

    def file(self, name, image, expected, **options):
        image.save(self.folder / name, **options)
        self.pixels(name, expected)


def png_files(out):
    rgb, rgba, grey = picture(13, 9, "RGB"), picture(13, 9, "RGBA"), picture(13, 9, "L")
    out.file("rgb.png", rgb, rgb)
    out.file("rgba.png", rgba, rgba)
    out.file("grey.png", grey, grey.convert("RGB"))
    out.file("grey_alpha.png", picture(13, 9, "LA"), picture(13, 9, "LA").convert("RGBA"))
    out.file("palette.png", rgb.quantize(11), rgb.quantize(11).convert("RGB"))
    see_through = rgb.quantize(7)
    out.file("palette_transparent.png", see_through, with_transparency(see_through, 2), transparency=2)
    out.file("bits_1.png", grey.convert("1"), grey.convert("1").convert("RGB"))

    words = [(x * 4001 + y * 977) % 65536 for y in range(9) for x in range(13)]
    grey16 = Image.frombytes("I;16", (13, 9), struct.pack(f"<{len(words)}H", *words))
    high = Image.frombytes("L", (13, 9), bytes(w >> 8 for w in words))
    out.file("grey_16.png", grey16, high.convert("RGB"))
    (out.folder / "interlaced.png").write_bytes(interlaced_png(rgb))
    check = Image.open(out.folder / "interlaced.png").convert("RGB")
    assert check.tobytes() == rgb.tobytes()
    out.pixels("interlaced.png", rgb)


def with_transparency(palette_image, index):
    rgba = palette_image.convert("RGBA")
    alpha = Image.frombytes("L", rgba.size, bytes(0 if i == index else 255 for i in palette_image.tobytes()))
    rgba.putalpha(alpha)
    return rgba


def interlaced_png(rgb):
    """Adam7, which Pillow reads but does not write."""
    raw = bytearray()
    for x0, y0, dx, dy in [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]:
        for y in range(y0, rgb.height, dy):
            row = b"".join(bytes(rgb.getpixel((x, y))) for x in range(x0, rgb.width, dx))
            raw += b"\0" + row if row else b""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", rgb.width, rgb.height, 8, 2, 0, 0, 1)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(raw))) + chunk(b"IEND", b"")


def jpeg_and_webp_files(out):
    rgb, rgba = picture(21, 18, "RGB"), picture(13, 9, "RGBA")

    def decoded(name):
        out.pixels(name, Image.open(out.folder / name).convert("RGB"))

    rgb.save(out.folder / "color.jpg", quality=80)
    rgb.save(out.folder / "progressive.jpg", quality=80, progressive=True)
    rgb.convert("L").save(out.folder / "grey.jpg", quality=80)
    rgb.convert("CMYK").save(out.folder / "cmyk.jpg", quality=80)
    rgb.save(out.folder / "lossy.webp", quality=80)
    for name in ("color.jpg", "progressive.jpg", "grey.jpg", "cmyk.jpg", "lossy.webp"):
        decoded(name)
    out.file("lossless.webp", rgba, rgba, lossless=True, exact=True)
    rgb.save(out.folder / "animated.webp", save_all=True, append_images=[ImageOps.mirror(rgb)], quality=20)


def oriented_files(out):
    base = picture(6, 4, "RGB")
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        name = f"orientation_{orientation}.webp"
        base.save(out.folder / name, lossless=True, exif=exif)
        out.pixels(name, ImageOps.exif_transpose(Image.open(out.folder / name)).convert("RGB"))
    exif = Image.Exif()
    exif[0x0112] = 6
    base.save(out.folder / "orientation_6.png", exif=exif)
    base.save(out.folder / "orientation_6.jpg", exif=exif, quality=90)
    for name in ("orientation_6.png", "orientation_6.jpg"):
        out.pixels(name, ImageOps.exif_transpose(Image.open(out.folder / name)))


def text_files(out):
    """Texts as A1111 (Pillow's PngInfo, piexif), ComfyUI (Pillow's Exif) and others write them."""
    tiny = picture(2, 2, "RGB")
    expected = {}

    def keep(name, *texts):
        expected[name] = [list(pair) for pair in texts]

    info = PngImagePlugin.PngInfo()
    info.add_text("parameters", "café, plain Latin-1")
    info.add_text("unicode", INFOTEXT)
    info.add_text("packed", "many words " * 40, zip=True)
    info.add_itxt("packed international", INFOTEXT, "en", "key", zip=True)
    tiny.save(out.folder / "texts.png", pnginfo=info)
    keep("texts.png", ("parameters", "café, plain Latin-1"), ("unicode", INFOTEXT), ("packed", "many words " * 40),
         ("packed international", INFOTEXT))

    comment = piexif.helper.UserComment.dump(INFOTEXT, encoding="unicode")
    exif = piexif.dump({"Exif": {piexif.ExifIFD.UserComment: comment}})
    for name in ("a1111.jpg", "a1111.webp"):
        tiny.save(out.folder / name)
        piexif.insert(exif, str(out.folder / name))
        keep(name, ("parameters", INFOTEXT))

    little = Image.Exif()
    little.get_ifd(0x8769)[0x9286] = b"UNICODE\0" + INFOTEXT.encode("utf-16-le")
    tiny.save(out.folder / "utf16_little.jpg", exif=little)
    keep("utf16_little.jpg", ("parameters", INFOTEXT))
    ascii_comment = Image.Exif()
    ascii_comment.get_ifd(0x8769)[0x9286] = b"ASCII\0\0\0plain words\0"
    tiny.save(out.folder / "ascii.jpg", exif=ascii_comment)
    keep("ascii.jpg", ("parameters", "plain words"))

    comfy = Image.Exif()
    comfy[0x0110] = "prompt:" + json.dumps(COMFY_PROMPT)
    comfy[0x010F] = "workflow:" + json.dumps(COMFY_WORKFLOW)
    tiny.save(out.folder / "comfy.webp", exif=comfy)
    keep("comfy.webp", ("workflow", json.dumps(COMFY_WORKFLOW)), ("prompt", json.dumps(COMFY_PROMPT)))
    packet = '<x:xmpmeta xmlns:x="adobe:ns:meta/"></x:xmpmeta>'
    tiny.save(out.folder / "foreign_xmp.jpg", xmp=packet.encode())
    keep("foreign_xmp.jpg", ("xmp", packet))
    (out.folder / "texts.json").write_text(json.dumps(expected, indent=1) + "\n")


def resize_cases(out):
    sources = {mode: picture(37, 29, mode, seed=7) for mode in ("L", "RGB", "RGBA")}
    for mode, source in sources.items():
        out.pixels(f"resize_{mode}_from", source)
    for mode, (width, height) in [("L", (16, 16)), ("L", (50, 29)), ("RGB", (16, 11)), ("RGB", (61, 43)), ("RGB", (61, 20)), ("RGB", (33, 8)),
                                  ("RGB", (33, 21)), ("RGB", (20, 50)), ("RGB", (37, 8)),
                                  ("RGB", (1, 1)), ("RGBA", (20, 15)), ("RGBA", (55, 31)), ("RGBA", (37, 29))]:
        out.pixels(f"resize_{mode}_{width}x{height}", sources[mode].resize((width, height), Image.LANCZOS))


def main():
    out = Writer(sys.argv[1])
    for make in (png_files, jpeg_and_webp_files, oriented_files, text_files, resize_cases):
        make(out)


main()
