#!/usr/bin/python3
"""Renders the example data set: ten classes of shapes, 32x32 RGB, on cluttered ground.

    python3 make_images.py [OUT = shapes beside this script] [hard]

Writes OUT/train/<class>/0000.png ... (60 a class) and OUT/test/<class>/ (20 a class).
One image in four of every class is a JPEG, so that both decoders are used and the format
says nothing about the class. Needs numpy and Pillow (Debian: python3-numpy python3-pil).

600 images are enough to learn from them as they are here; `hard` ones are smaller, turned
and mirrored in every way, and lie behind more clutter: those in tests/data, which a network
learns from thousands.

An image is a function of (SEED, split, class, index) and of nothing else. Only the
outline depends on the class: place, size, rotation, colours, background, clutter and
light are drawn from the same distributions for all ten, so a classifier has to look at
the shape.
"""
import os
import sys

import numpy as np
from PIL import Image

SEED = 2026
SIZE = 32            # pixels a side
OVERSAMPLE = 4       # samples a side of a pixel, for anti-aliasing
SPLITS = {"train": 60, "test": 20}  # images a class; a split's position enters the seed
SPLIT_FRESH = 2      # never written: what the teacher learns from
JPEG_EVERY, JPEG_QUALITY = 4, 92

EASY = {"radius": (8, 11.5), "angle": (-0.35, 0.35), "clutter": (0, 3), "before": (0, 2),
        "contrast": (0.3, 0.45)}
HARD = {"radius": (5.2, 10), "angle": (0, 2 * np.pi), "clutter": (1, 5), "before": (0, 3),
        "contrast": (0.22, 0.45)}


# ---- outlines -------------------------------------------------------------------------
# Each takes sample coordinates u, v (the shape fits the unit circle) and a generator for
# its proportions, and says which samples are inside.

def polygon(u, v, points):
    """Inside is where a ray to the right crosses an odd number of edges."""
    inside = np.zeros(u.shape, bool)
    for (ax, ay), (bx, by) in zip(points, points[1:] + points[:1]):
        if ay != by:
            crosses = (ay > v) != (by > v)
            inside ^= crosses & (u < (bx - ax) * (v - ay) / (by - ay) + ax)
    return inside


def on_circle(radii):
    turn = 2 * np.pi / len(radii)
    return [(r * np.cos(i * turn), r * np.sin(i * turn)) for i, r in enumerate(radii)]


def arrow(u, v, rng):
    shaft, neck = rng.uniform(0.14, 0.24), rng.uniform(-0.1, 0.3)
    return polygon(u, v, [(-1, -shaft), (neck, -shaft), (neck, -0.65), (1, 0),
                          (neck, 0.65), (neck, shaft), (-1, shaft)])


def checker(u, v, rng):
    cells, side = rng.integers(3, 5), 0.72
    i, j = (np.floor((t / side + 1) / 2 * cells) for t in (u, v))
    return (np.abs(u) < side) & (np.abs(v) < side) & ((i + j) % 2 == 0)


def crescent(u, v, rng):
    bite = rng.uniform(0.35, 0.55)
    return (np.hypot(u, v) < 1) & (np.hypot(u - bite, v) > 0.85)


def cross(u, v, rng):
    arm, u, v = rng.uniform(0.2, 0.34), np.abs(u), np.abs(v)
    return (np.maximum(u, v) < 1) & (np.minimum(u, v) < arm)


def heart(u, v, rng):
    x, y = u * 1.2 * rng.uniform(0.9, 1.1), 0.15 - v * 1.2
    return (x * x + y * y - 1) ** 3 < x * x * y ** 3


def ladder(u, v, rng):
    half, bar = rng.uniform(0.4, 0.55), rng.uniform(0.12, 0.17)
    rungs = rng.integers(3, 5)
    phase = (v + 1) / 2 * rungs % 1
    rail = np.abs(np.abs(u) - half) < bar
    rung = (np.abs(u) < half) & (np.abs(phase - 0.5) < bar * rungs / 2)
    return (np.abs(v) < 1) & (rail | rung)


def ring(u, v, rng):
    inner = rng.uniform(0.5, 0.72)
    r = np.hypot(u, v)
    return (r < 1) & (r > inner)


def spiral(u, v, rng):
    turns, width = rng.uniform(1.6, 2.1), rng.uniform(0.2, 0.26)
    r, turn = np.hypot(u, v), np.arctan2(v, u) / (2 * np.pi) % 1
    pitch = (1 - width / 2) / turns
    winding = np.round(r / pitch - turn)  # the winding nearest to the sample
    along = winding + turn
    return (np.abs(r - along * pitch) < width / 2) & (along >= 0) & (along <= turns)


def star(u, v, rng):
    inner = rng.uniform(0.36, 0.48)
    return polygon(u, v, on_circle([1, inner] * 5))


def triangle(u, v, rng):
    return polygon(u, v, on_circle([1, rng.uniform(0.8, 1), rng.uniform(0.8, 1)]))


SHAPES = {f.__name__: f for f in (arrow, checker, crescent, cross, heart, ladder, ring,
                                  spiral, star, triangle)}
CLASSES = sorted(SHAPES)


# ---- scenes ---------------------------------------------------------------------------
_axis = (np.arange(SIZE * OVERSAMPLE) + 0.5) / OVERSAMPLE
FINE_X, FINE_Y = np.meshgrid(_axis, _axis)                      # samples, in pixels
PIXEL_X, PIXEL_Y = np.meshgrid(np.arange(SIZE) + 0.5, np.arange(SIZE) + 0.5)


def coverage(inside):
    """The share of each pixel that is inside, from its samples."""
    n = OVERSAMPLE
    return inside.reshape(SIZE, n, SIZE, n).mean((1, 3))[..., None]


def blend(image, colour, alpha):
    return image + alpha * (colour - image)


def ramp(rng):
    """Rises from 0 to 1 across the image in a random direction."""
    angle = rng.uniform(0, 2 * np.pi)
    t = PIXEL_X * np.cos(angle) + PIXEL_Y * np.sin(angle)
    return ((t - t.min()) / (t.max() - t.min()))[..., None]


def cloud(rng, cells):
    """Smooth noise in [-1, 1] a channel: a coarse random grid, enlarged."""
    grid = rng.integers(0, 256, (cells, cells, 3), dtype=np.uint8)
    image = Image.fromarray(grid).resize((SIZE, SIZE), Image.BICUBIC)
    return np.asarray(image, float) / 127.5 - 1


def background(rng):
    image = blend(rng.uniform(0, 1, 3), rng.uniform(0, 1, 3), ramp(rng))
    image = image + rng.uniform(0.03, 0.15) * cloud(rng, 4)
    image = image + rng.uniform(0.02, 0.09) * cloud(rng, 11)
    if rng.random() < 0.3:  # a texture of waves
        waves = np.sin(ramp(rng) * rng.uniform(15, 60) + rng.uniform(0, 6))
        image = image + rng.uniform(0.03, 0.09) * waves
    return image


def line(image, rng, width):
    x, y = rng.uniform(0, SIZE, 2)
    angle, half = rng.uniform(0, np.pi), rng.uniform(4, 20)
    along = (FINE_X - x) * np.cos(angle) + (FINE_Y - y) * np.sin(angle)
    across = (FINE_Y - y) * np.cos(angle) - (FINE_X - x) * np.sin(angle)
    inside = (np.abs(along) < half) & (np.abs(across) < width / 2)
    return blend(image, rng.uniform(0, 1, 3), rng.uniform(0.4, 0.9) * coverage(inside))


def blob(image, rng):
    """A filled ellipse or rectangle, turned."""
    x, y = rng.uniform(0, SIZE, 2)
    angle, a, b = rng.uniform(0, np.pi), *rng.uniform(1.5, 6, 2)
    u = ((FINE_X - x) * np.cos(angle) + (FINE_Y - y) * np.sin(angle)) / a
    v = ((FINE_Y - y) * np.cos(angle) - (FINE_X - x) * np.sin(angle)) / b
    r = np.hypot(u, v) if rng.random() < 0.6 else np.maximum(np.abs(u), np.abs(v))
    inside = r < 1
    return blend(image, rng.uniform(0, 1, 3), rng.uniform(0.3, 0.9) * coverage(inside))


def unlike(rng, colour, contrast):
    """A random colour that the eye can tell from this one."""
    least = rng.uniform(*contrast)
    while True:
        other = rng.uniform(0, 1, 3)
        if np.sqrt(((other - colour) ** 2 * [0.3, 0.59, 0.11]).sum()) > least:
            return other


def draw_object(image, outline, rng, kind):
    """Returns the image with the object on it, and the object's share of each pixel."""
    radius = rng.uniform(*kind["radius"])
    x, y = rng.uniform(radius, SIZE - radius, 2)
    angle, mirror = rng.uniform(*kind["angle"]), rng.choice([-1, 1])
    u = ((FINE_X - x) * np.cos(angle) + (FINE_Y - y) * np.sin(angle)) / radius
    v = ((FINE_Y - y) * np.cos(angle) - (FINE_X - x) * np.sin(angle)) / radius * mirror
    share = coverage(outline(u, v, rng))
    behind = (image * share).sum((0, 1)) / share.sum()
    colour = unlike(rng, np.clip(behind, 0, 1), kind["contrast"])
    shaded = colour + rng.uniform(0, 0.25) * (ramp(rng) - 0.5)
    return blend(image, shaded, rng.uniform(0.85, 1) * share), share


def scene(split, cls, index, kind=EASY):
    """One image, uint8 [SIZE, SIZE, 3], and the object's share of each pixel."""
    rng = np.random.default_rng([SEED, split, cls, index])
    image = background(rng)
    for _ in range(rng.integers(*kind["clutter"])):
        thick = rng.random() < 0.6
        image = blob(image, rng) if thick else line(image, rng, rng.uniform(0.7, 2.5))
    image, share = draw_object(image, SHAPES[CLASSES[cls]], rng, kind)
    for _ in range(rng.integers(*kind["before"])):  # thin clutter may pass in front
        image = line(image, rng, rng.uniform(0.6, 1.2))
    image = image * (rng.uniform(0.6, 1.1) + rng.uniform(0, 0.5) * (ramp(rng) - 0.5))
    image = image + rng.normal(0, rng.uniform(0.005, 0.035), image.shape)
    return (np.clip(image, 0, 1) * 255 + 0.5).astype(np.uint8), share[..., 0]


def main():
    here = os.path.dirname(os.path.abspath(__file__))
    out = sys.argv[1] if len(sys.argv) > 1 else os.path.join(here, "shapes")
    kind = HARD if sys.argv[2:] == ["hard"] else EASY
    for split, (folder, count) in enumerate(SPLITS.items()):
        for cls, name in enumerate(CLASSES):
            path = os.path.join(out, folder, name)
            os.makedirs(path, exist_ok=True)
            for i in range(count):
                image = Image.fromarray(scene(split, cls, i, kind)[0])
                if i % JPEG_EVERY == JPEG_EVERY - 1:
                    image.save(f"{path}/{i:04}.jpg", quality=JPEG_QUALITY)
                else:
                    image.save(f"{path}/{i:04}.png", optimize=True)


if __name__ == "__main__":
    main()
