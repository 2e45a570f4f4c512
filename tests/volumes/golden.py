#!/usr/bin/env python3
"""Makes the golden values of resampling in tests/volumes/golden: by SciPy and Pillow, from the same made input that the test makes.

    golden.py OUT        (numpy 2.2.6, scipy 1.15.3, pillow 13.0.0)

Each file: the two affines (12 numbers, upper three rows, row-major), the target's size (slices, rows, columns), then its values. Linear and nearest:
scipy.ndimage.map_coordinates at the source indices of the target's voxels, order 1 and 0, edges going on for half a voxel, -1024 beyond.
Shrinking and enlarging along the axes: Pillow's BILINEAR on images of float32, first rows and columns, then slices."""
import pathlib
import sys

import numpy as np
from PIL import Image
from scipy.ndimage import map_coordinates

SIZE = (9, 12, 11)
OUTSIDE = -1024.0


def made():
    k, j, i = np.indices(SIZE)
    return ((7 * k + 13 * j + 5 * i + k * j * i) % 31 * 64.0 - 1000.0).astype("f4")


def affine(angles, spacing, shear, origin):
    a, b, c = angles
    turn = np.eye(3)
    for axis, angle in ((2, a), (1, b), (0, c)):
        u, v = [x for x in range(3) if x != axis]
        one = np.eye(3)
        one[u, u] = one[v, v] = np.cos(angle)
        one[u, v], one[v, u] = -np.sin(angle), np.sin(angle)
        turn = turn @ one
    steps = turn @ np.diag(spacing)
    steps[:, 2] += shear * steps[:, 1]
    whole = np.eye(4)
    whole[:3, :3], whole[:3, 3] = steps, origin
    return whole


def gathered(source, target, size, order):
    k, j, i = np.indices(size)
    voxels = np.stack([i, j, k, np.ones(size)]).reshape(4, -1)
    at = (np.linalg.inv(source) @ target @ voxels)[2::-1]
    sides = np.array(SIZE)[:, None]
    inside = ((at >= -0.5) & (at <= sides - 0.5)).all(axis=0)
    values = map_coordinates(made().astype("f8"), at, order=order, mode="nearest")
    return np.where(inside, values, OUTSIDE).reshape(size)


def resized(size):
    values = made()
    plane = lambda image, rows, columns: np.asarray(Image.fromarray(image).resize((columns, rows), Image.Resampling.BILINEAR))
    values = np.stack([plane(image, size[1], size[2]) for image in values])
    return np.stack([plane(values[:, row], size[0], size[2]) for row in range(size[1])], axis=1)


def with_size(source, size):
    ratio = [SIZE[2 - axis] / size[2 - axis] for axis in range(3)]
    whole = source @ np.diag([*ratio, 1.0])
    whole[:3, 3] = (source @ [*((r - 1) / 2 for r in ratio), 1.0])[:3]
    return whole


def write(path, source, target, values):
    row = lambda numbers: " ".join(f"{v:.17g}" for v in numbers)
    lines = [row(source[:3].ravel()), row(target[:3].ravel()), row(values.shape), *(f"{v:.9g}" for v in values.ravel())]
    path.write_text("\n".join(lines) + "\n")


def main():
    out = pathlib.Path(sys.argv[1])
    tilted = affine((0.0, 0.0, 0.35), (0.9, 0.8, 2.5), 0.4, (-120.0, 35.5, 812.25))
    level = affine((0.0, 0.0, 0.35), (0.7, 0.7, 1.9), 0.0, (-119.0, 36.0, 813.5))
    turned = affine((0.6, -0.3, 0.9), (0.8, 0.7, 0.75), 0.0, (-118.0, 34.0, 812.0))
    plain = affine((1.1, 0.2, -0.4), (0.9, 0.8, 2.5), 0.0, (3.0, -4.0, 5.0))
    write(out / "tilted_to_level.txt", tilted, level, gathered(tilted, level, (8, 11, 12), 1))
    write(out / "turned.txt", tilted, turned, gathered(tilted, turned, (12, 11, 10), 1))
    write(out / "turned_nearest.txt", tilted, turned, gathered(tilted, turned, (12, 11, 10), 0))
    for name, size in (("smaller", (4, 5, 3)), ("larger", (11, 14, 13)), ("both", (20, 5, 11))):
        write(out / f"{name}.txt", plain, with_size(plain, size), resized(size))


main()
