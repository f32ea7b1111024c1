#!/usr/bin/python3
"""Writes the fixtures of tests/unit/test_image.c into its own folder, with Pillow.

NAME.jpg, NAME.png   an image
NAME.rgb             height, width (u16), then Image.open(NAME).convert("RGB")
resize.bin           cases: in_h, in_w, top, left, bh, bw, out_h, out_w (u16), input plane,
                     output plane of Image.resize(BILINEAR, box)
fit.bin              cases: h, w, size (u16), RGB input, planar output of torchvision's
                     Resize(size) + CenterCrop(size) on a Pillow image

Everything is drawn from fixed seeds. The PNG files are put together here, because Pillow
writes neither every depth nor interlaced ones. Golden values: Pillow 9.4, libjpeg-turbo 2.1.5.
"""

import io
import os
import random
import struct
import zlib

import numpy as np
from PIL import Image

HERE = os.path.dirname(os.path.abspath(__file__))
H, W = 17, 23


def save(name, data):
    with open(os.path.join(HERE, name), "wb") as f:
        f.write(data)


def save_image(name, data):
    pixels = np.array(Image.open(io.BytesIO(data)).convert("RGB"))
    save(name, data)
    stem = os.path.splitext(name)[0]
    save(stem + ".rgb", struct.pack("<HH", *pixels.shape[:2]) + pixels.tobytes())


# ---- JPEG ----------------------------------------------------------------------------


def picture(h, w, seed):
    """Smooth shapes with some noise: what JPEG is made for."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:h, 0:w]
    planes = [np.sin(x / (3 + 2 * c) + seed) + np.cos(y / (4 - c)) for c in range(3)]
    image = np.stack(planes, -1) * 60 + 128 + rng.normal(0, 8, (h, w, 3))
    return Image.fromarray(np.clip(image, 0, 255).astype(np.uint8))


def jpeg(image, **options):
    out = io.BytesIO()
    image.save(out, "JPEG", **options)
    return out.getvalue()


def make_jpegs():
    rgb = picture(H, W, 1)
    cmyk = jpeg(rgb.convert("CMYK"))
    at = cmyk.index(b"Adobe")
    files = {
        "jpeg444": jpeg(rgb, subsampling=0, quality=90),
        "jpeg422": jpeg(rgb, subsampling=1),
        "jpeg420": jpeg(rgb, subsampling=2, quality=30),
        "jpeg_progressive": jpeg(rgb, progressive=True),
        "jpeg_grey": jpeg(rgb.convert("L")),
        "jpeg_cmyk": cmyk,
        "jpeg_ycck": cmyk[: at + 11] + b"\2" + cmyk[at + 12 :],
        "jpeg_cmyk_no_adobe": cmyk[: at - 4] + cmyk[at + 12 :],
        "jpeg_stray_bytes": jpeg(rgb)[:-2] + b"\x12\x34\xff\xd9",
        "jpeg_one_pixel": jpeg(rgb.crop((0, 0, 1, 1))),
    }
    for name, data in files.items():
        save_image(name + ".jpg", data)


# ---- PNG -----------------------------------------------------------------------------

CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # of a colour type
PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def pack_row(values, depth):
    if depth == 16:
        return b"\0" + struct.pack(">%dH" % len(values), *values)
    bits = "".join(format(v, "0%db" % depth) for v in values)
    bits += "0" * (-len(bits) % 8)
    return b"\0" + bytes(int(bits[i : i + 8], 2) for i in range(0, len(bits), 8))


def png(depth, color, interlaced=False, palette=None, extra=b""):
    rng = random.Random(depth * 10 + color)
    n, top = CHANNELS[color], (1 << depth) - 1
    pixels = [[[rng.randint(0, top) for _ in range(n)] for _ in range(W)] for _ in range(H)]
    raw = b""
    for x0, y0, dx, dy in PASSES if interlaced else ((0, 0, 1, 1),):
        for y in range(y0, H, dy):
            row = [v for x in range(x0, W, dx) for v in pixels[y][x]]
            raw += pack_row(row, depth) if row else b""
    data = b"\x89PNG\r\n\x1a\n"
    data += chunk(b"IHDR", struct.pack(">IIBBBBB", W, H, depth, color, 0, 0, interlaced))
    if color == 3:
        entries = palette or 1 << depth
        data += chunk(b"PLTE", bytes(rng.randint(0, 255) for _ in range(3 * entries)))
    return data + extra + chunk(b"IDAT", zlib.compress(raw, 9)) + chunk(b"IEND", b"")


def make_pngs():
    kinds = [(1, 0), (2, 0), (4, 0), (8, 0), (8, 2), (16, 2), (1, 3), (2, 3), (4, 3), (8, 3)]
    kinds += [(8, 4), (16, 4), (8, 6), (16, 6)]
    for depth, color in kinds:
        save_image("png_%d_%d.png" % (color, depth), png(depth, color))
    for depth, color in [(1, 0), (4, 3), (8, 2), (16, 6)]:
        save_image("png_%d_%d_interlaced.png" % (color, depth), png(depth, color, True))
    save_image("png_short_palette.png", png(8, 3, palette=10))
    save_image("png_transparent_palette.png", png(4, 3, extra=chunk(b"tRNS", bytes(range(9)))))
    save_image("png_transparent_grey.png", png(8, 0, extra=chunk(b"tRNS", b"\0\7")))
    save("grey16.png", png(16, 0))


# ---- resizing ------------------------------------------------------------------------


def plane(rng, h, w, sharp):
    values = rng.integers(0, 256, (h, w), dtype=np.uint8)
    return ((values > 127) * 255).astype(np.uint8) if sharp else values


def make_resize():
    rng = np.random.default_rng(5)
    out = b""
    for case in range(48):
        h, w, oh, ow = (int(v) for v in rng.integers(1, 41, 4))
        top, left = int(rng.integers(0, h)), int(rng.integers(0, w))
        bh, bw = int(rng.integers(1, h - top + 1)), int(rng.integers(1, w - left + 1))
        if case % 3 == 0:
            top, left, bh, bw = 0, 0, h, w
        if case % 4 == 0:
            oh, top, bh = h, 0, h  # this axis is left alone
        if case % 5 == 0:
            ow, left, bw = w, 0, w
        image = plane(rng, h, w, case % 2)
        box = (left, top, left + bw, top + bh)
        result = np.array(Image.fromarray(image).resize((ow, oh), Image.BILINEAR, box=box))
        out += struct.pack("<8H", h, w, top, left, bh, bw, oh, ow)
        out += image.tobytes() + result.tobytes()
    save("resize.bin", out)


def fit(image, size):
    """torchvision 0.14: Resize(size), then CenterCrop(size)."""
    w, h = image.size
    short, long = (w, h) if w <= h else (h, w)
    new_long = int(size * long / short)
    w, h = (size, new_long) if w <= h else (new_long, size)
    image = image.resize((w, h), Image.BILINEAR)
    top, left = int(round((h - size) / 2.0)), int(round((w - size) / 2.0))
    return image.crop((left, top, left + size, top + size))


def make_fit():
    out = b""
    # Up, down and as it is; differences of 1, 2, 3, 5 and 7 pixels for the crop's rounding.
    cases = [(20, 20, 20), (20, 21, 20), (20, 22, 20), (23, 20, 20), (25, 20, 20), (20, 27, 20)]
    cases += [(31, 47, 16), (47, 31, 16), (9, 14, 24), (40, 3, 8), (3, 40, 8), (33, 32, 32)]
    for seed, (h, w, size) in enumerate(cases):
        image = picture(h, w, seed)
        result = np.array(fit(image, size)).transpose(2, 0, 1)
        out += struct.pack("<3H", h, w, size) + np.array(image).tobytes() + result.tobytes()
    save("fit.bin", out)


if __name__ == "__main__":
    make_jpegs()
    make_pngs()
    make_resize()
    make_fit()
