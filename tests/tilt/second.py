"""A second implementation of where things lie in a series of slices: from DICOM attributes alone, with NumPy and SciPy.

    python second.py FOLDER OUT LOW HIGH POINTS

Reads each file's Image Position, Image Orientation (Patient) and Pixel Spacing (PS3.3 C.7.6.2), and no code of the service. LOW and HIGH:
the values that become 0 and 1. Writes to OUT:
  order.txt   SOP Instance UIDs, sorted along the normal
  mask.u8     per source voxel (slices, rows, columns): what a network that calls everything from 0.7 on inside, on a grid of
              2.5 x 2 x 2 mm (depth to the head, rows to the back, columns to the left) at right angles, says there
  maps.f32    per source pixel: evidence of a network that sees each slice stretched to 64 x 64, over its 8 x 8 blocks: 20 (mean - 0.7),
              what is below 0 as 0, over the slice's own maximum
  points.txt  for each line of POINTS (depth, row, column on that grid, from the outer edges): the patient's x y z in mm, and the
              source's slice, row, column, from the outer edges
"""
import pathlib
import sys

import numpy as np
import pydicom
from scipy.ndimage import map_coordinates

SPACING = (2.5, 2.0, 2.0)
PATCH = (8, 32, 32)
INSIDE = 0.7


def slices_of(folder):
    """Files with a place and of no localizer, along the normal: positions, the two directions times spacing, pixels in HU."""
    found = []
    for path in pathlib.Path(folder).iterdir():
        d = pydicom.dcmread(path)
        if "ImagePositionPatient" not in d or "LOCALIZER" in d.ImageType:
            continue
        row_mm, column_mm = map(float, d.PixelSpacing)
        along, down = np.array(d.ImageOrientationPatient, float).reshape(2, 3)
        hu = d.pixel_array * float(d.RescaleSlope) + float(d.RescaleIntercept)
        found.append((np.array(d.ImagePositionPatient, float), along * column_mm, down * row_mm, hu, d.SOPInstanceUID))
    normal = np.cross(found[0][1], found[0][2])
    return sorted(found, key=lambda s: s[0] @ normal), normal / np.linalg.norm(normal)


class Source:
    """Slices at their own positions, and the way between patient and voxel (slice, row, column; centres of voxels)."""

    def __init__(self, found, normal):
        self.origins = np.array([s[0] for s in found])
        self.column, self.row, self.normal = found[0][1], found[0][2], normal
        self.values = np.stack([s[3] for s in found]).astype(float)
        self.along = self.origins @ normal
        self.plane = np.linalg.pinv(np.stack([self.row, self.column], 1))

    def voxel(self, points):
        """Points (n x 3, mm). The origin of a place between two slices is on the line from one to the next."""
        place = points @ self.normal
        k = np.interp(place, self.along, np.arange(len(self.along)))
        step = (self.along[-1] - self.along[0]) / (len(self.along) - 1)
        k = np.where(place < self.along[0], (place - self.along[0]) / step, k)
        k = np.where(place > self.along[-1], len(self.along) - 1 + (place - self.along[-1]) / step, k)
        way = (self.origins[-1] - self.origins[0]) / (len(self.origins) - 1)
        inside = np.clip(k, 0, len(self.along) - 1)
        origin = np.stack([np.interp(inside, np.arange(len(self.along)), self.origins[:, axis]) for axis in range(3)], 1)
        origin += (k - inside)[:, None] * way
        return np.concatenate([k[:, None], (points - origin) @ self.plane.T], 1)

    def points(self):
        """The patient's point of every voxel: slices x rows x columns x 3."""
        slices, rows, columns = self.values.shape
        r, c = np.arange(rows)[:, None, None], np.arange(columns)[None, :, None]
        return self.origins[:, None, None] + r[None] * self.row + c[None] * self.column


class Level:
    """The grid at right angles around the slices: depth along the normal, in the middle of whole patches."""

    def __init__(self, source):
        slices, rows, columns = source.values.shape
        gaps = np.sort(np.diff(source.along))
        gap = gaps[(len(gaps) - 1) // 2]
        way = (source.origins[-1] - source.origins[0]) / (source.along[-1] - source.along[0]) * gap
        shift = source.plane @ (way - source.normal * gap)                     # rows, columns a step
        count = round((source.along[-1] - source.along[0]) / gap) + 1
        whole = shift * (count - 1)
        first = [-np.ceil(-w) if w < -1e-6 else 0.0 for w in whole]
        more = [int(np.ceil(abs(w) - 1e-6)) if abs(w) > 1e-6 else 0 for w in whole]
        size = np.array([count, rows + more[0], columns + more[1]])
        own = np.array([gap, np.linalg.norm(source.row), np.linalg.norm(source.column)])
        self.size = np.maximum(np.round(size * own / SPACING).astype(int), 1)
        self.steps = np.stack([source.normal * SPACING[0], source.row / own[1] * SPACING[1], source.column / own[2] * SPACING[2]])
        corner = source.origins[0] + first[0] * source.row + first[1] * source.column
        middle = corner + (size - 1) / 2 @ np.stack([source.normal * gap, source.row, source.column])
        before = (np.maximum(self.size, PATCH) - self.size) // 2
        self.size = np.maximum(self.size, PATCH)
        inner = np.maximum(np.round(size * own / SPACING).astype(int), 1)
        self.origin = middle - (inner - 1) / 2 @ self.steps - before @ self.steps

    def points(self):
        k, r, c = (np.arange(n) for n in self.size)
        s = self.steps
        return self.origin + k[:, None, None, None] * s[0] + r[None, :, None, None] * s[1] + c[None, None, :, None] * s[2]

    def place(self, points):
        """Depth, row, column of points; the steps are at right angles."""
        return (points - self.origin) @ (self.steps / (self.steps ** 2).sum(1)[:, None]).T


def sampled(values, at, outside=0.0):
    """Trilinear at indices n x 3; edges go on for half a voxel."""
    sides = np.array(values.shape)
    inside = ((at >= -0.5) & (at <= sides - 0.5)).all(1)
    return np.where(inside, map_coordinates(values, at.T, order=1, mode="nearest"), outside)


def shrunk(image, sizes):
    """Rows and columns by a triangle as wide as the new step (antialiased), edges renormalised."""
    for axis, size in enumerate(sizes):
        side = image.shape[axis]
        scale = side / size
        centre = (np.arange(size) + 0.5) * scale
        weights = np.maximum(1 - np.abs((np.arange(side) + 0.5)[None] - centre[:, None]) / max(scale, 1.0), 0)
        image = np.moveaxis(np.tensordot(weights / weights.sum(1, keepdims=True), image, (1, axis)), 0, axis)
    return image


def finest(unit, at, own):
    """Values at voxels `at` (n x 3). Where the grid's rows and columns are coarser than the source's own (mm), that is shrunk to them first."""
    sizes = [int(np.ceil(n / max(1.0, step / mm))) for n, step, mm in zip(unit.shape[1:], SPACING[1:], own)]
    small = np.stack([shrunk(image, sizes) for image in unit])
    scale = np.array([1.0, sizes[0] / unit.shape[1], sizes[1] / unit.shape[2]])
    return sampled(small, (at + 0.5) * scale - 0.5)


def maps(unit):
    """Per slice the 8 x 8 evidence at source pixels, over its maximum: bilinear between the centres of cells."""
    slices, rows, columns = unit.shape
    out = np.zeros(unit.shape, "f4")
    for index, image in enumerate(unit):
        evidence = np.maximum(20 * (shrunk(image, (64, 64)).reshape(8, 8, 8, 8).mean((1, 3)) - INSIDE), 0)
        if evidence.max() > 0:
            r, c = (((np.arange(n) + 0.5) * 8 / n - 0.5).clip(0, 7) for n in (rows, columns))
            at = np.stack(np.meshgrid(r, c, indexing="ij"))
            out[index] = map_coordinates(evidence / evidence.max(), at, order=1)
    return out


def main():
    folder, out, low, high, asked = sys.argv[1:]
    out = pathlib.Path(out)
    found, normal = slices_of(folder)
    source = Source(found, normal)
    unit = ((source.values - float(low)) / (float(high) - float(low))).clip(0, 1)
    level = Level(source)
    network = lambda x: 1 / (1 + np.exp(-20 * (x - INSIDE)))
    own = [np.linalg.norm(source.row), np.linalg.norm(source.column)]
    grid = network(finest(unit, source.voxel(level.points().reshape(-1, 3)), own).reshape(level.size))
    mask = sampled(grid, level.place(source.points().reshape(-1, 3))).reshape(unit.shape) >= 0.5
    (out / "order.txt").write_text("\n".join(s[4] for s in found))
    (out / "mask.u8").write_bytes(mask.astype("u1").tobytes())
    (out / "maps.f32").write_bytes(maps(unit).astype("<f4").tobytes())
    points = np.loadtxt(asked).reshape(-1, 3)
    patient = level.origin + (points - 0.5) @ level.steps
    text = lambda row: " ".join(f"{v:.9f}" for v in row)
    (out / "points.txt").write_text("\n".join(map(text, np.concatenate([patient, source.voxel(patient) + 0.5], 1))))


if __name__ == "__main__":
    main()
