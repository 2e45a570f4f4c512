"""A series as the service sees it: DICOM files (or a NIfTI head) -> slices of modality values, in the order of their positions.

Only what training and the cards need: single-frame files and classic stacks, no defects. The service's own reading is `pixel::volume`.
"""
import gzip
from pathlib import Path

import numpy as np
import pydicom


def modality(d):
    """float32 rows x columns (frames x rows x columns of a multi-frame file): stored values times slope plus intercept."""
    return (d.pixel_array * float(d.get("RescaleSlope", 1) or 1) + float(d.get("RescaleIntercept", 0) or 0)).astype(np.float32)


def series(folder):
    """(slices x rows x columns, spacing in mm along slice, row, column) of the files in `folder`, ordered by the projection of Image Position on
    the normal; files without a position, and those of another matrix than most, are left out."""
    placed = {}
    for path in sorted(Path(folder).iterdir()):
        d = pydicom.dcmread(path, force=True)
        if "ImagePositionPatient" not in d or "PixelData" not in d:
            continue
        row, column = np.array(d.ImageOrientationPatient, float).reshape(2, 3)
        placed.setdefault(round(float(np.cross(row, column) @ np.array(d.ImagePositionPatient, float)), 2), d)
    sizes = [(d.Rows, d.Columns) for d in placed.values()]
    size = max(set(sizes), key=sizes.count)
    where = [z for z in sorted(placed) if (placed[z].Rows, placed[z].Columns) == size]
    gap = float(np.median(np.diff(where))) if len(where) > 1 else 0.0
    return np.stack([modality(placed[z]) for z in where]), (gap, *map(float, placed[where[0]].PixelSpacing))


def nifti(path):
    """(values i x j x k as stored, spacing of each axis in mm) of a NIfTI-1 file, gzipped or not."""
    raw = Path(path).read_bytes()
    raw = gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw
    end = "<" if np.frombuffer(raw, "<i4", 1)[0] == 348 else ">"
    shape = np.frombuffer(raw, f"{end}i2", 8, 40)[1:4]
    code, start = int(np.frombuffer(raw, f"{end}i2", 1, 70)[0]), int(np.frombuffer(raw, f"{end}f4", 1, 108)[0])
    kind = {2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8", 256: "i1", 512: "u2"}[code]
    values = np.frombuffer(raw, end + kind, int(np.prod(shape)), start).reshape(shape, order="F")
    slope, intercept = np.frombuffer(raw, f"{end}f4", 2, 112)
    scaled = np.isfinite(slope) and slope != 0                     # 0: no scaling is meant
    values = values.astype(np.float32)
    return values * slope + intercept if scaled else values, tuple(float(v) for v in np.frombuffer(raw, f"{end}f4", 8, 76)[1:4])


def planes(head):
    """The three series of slices that a head of cubic voxels can be cut into, in the radiological view: {plane: slices x rows x columns}.
    The first axis runs from side to side (either way), the second forward, the third up."""
    up = np.flip(head, 2)
    return {"axial": np.flip(head, 1).transpose(2, 1, 0), "coronal": up.transpose(1, 2, 0), "sagittal": np.flip(up, 1).transpose(0, 2, 1)}
