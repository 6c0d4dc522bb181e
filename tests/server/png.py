# SPDX-License-Identifier: Apache-2.0
"""The pixels of limn's own PNG files, 8 bits a channel without interlace, by the standard library."""
import struct
import zlib


def pixels(file):
    """@return width, height, bytes a pixel, and the bytes of the rows"""
    assert file[:8] == b"\x89PNG\r\n\x1a\n", file[:16]
    at, data = 8, b""
    while at < len(file):
        length, kind = struct.unpack(">I4s", file[at:at + 8])
        body = file[at + 8:at + 8 + length]
        if kind == b"IHDR":
            width, height, depth, colour, _, _, interlace = struct.unpack(">IIBBBBB", body)
            assert depth == 8 and interlace == 0
        elif kind == b"IDAT":
            data += body
        at += 12 + length
    channels = {0: 1, 2: 3, 4: 2, 6: 4}[colour]
    return width, height, channels, _unfiltered(zlib.decompress(data), width * channels, height, channels)


def _unfiltered(data, stride, height, back):
    rows, above = bytearray(), bytearray(stride)
    for y in range(height):
        kind, row = data[y * (stride + 1)], bytearray(data[y * (stride + 1) + 1:(y + 1) * (stride + 1)])
        for x in range(stride):
            left = row[x - back] if x >= back else 0
            corner = above[x - back] if x >= back else 0
            row[x] = (row[x] + _predicted(kind, left, above[x], corner)) & 255
        rows += row
        above = row
    return bytes(rows)


def _predicted(kind, left, up, corner):
    if kind < 4:
        return (0, left, up, (left + up) // 2)[kind]
    guess = left + up - corner
    return min((left, up, corner), key=lambda value: abs(guess - value))
