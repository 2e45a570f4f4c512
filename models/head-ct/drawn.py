"""Bleeds drawn into slices that have none: a place and a kind that are known, for 28 bleeding patients are few.

Images are float32 rows x columns, 0..1 over the brain window (1 = 120 HU above its lower edge); `inside` is what the skull encloses.
"""
import numpy as np
from scipy import ndimage

BONE, AIR = 0.97, 0.08                 # of the window: at and above is bone, below is air or fat
LARGE = 5000                           # pixels inside the skull from which on a slice is drawn into
CONTRAST = (0.12, 0.30)                # of the window: fresh blood above brain


def inside_skull(image):
    """What has bone on all four sides and is neither bone nor air. Holds where a gap in the skull would let a filling leak out."""
    parts, n = ndimage.label(image > AIR)
    if n == 0:
        return np.zeros(image.shape, bool)
    head = parts == 1 + np.argmax(ndimage.sum_labels(np.ones_like(parts), parts, range(1, n + 1)))     # not the table
    bone = head & (image >= BONE)
    seen = np.ones(image.shape, bool)
    for axis in (0, 1):
        forward = np.logical_or.accumulate(bone, axis)
        backward = np.flip(np.logical_or.accumulate(np.flip(bone, axis), axis), axis)
        seen &= forward & backward
    return ndimage.binary_opening(seen & ~bone & (image > AIR) & (image < BONE), iterations=2)


def polar(shape, at):
    y, x = np.mgrid[:shape[0], :shape[1]]
    return np.hypot(y - at[0], x - at[1]), np.arctan2(y - at[0], x - at[1])


def sector(angle, rng, span):
    """-1..1 across a random sector of `span` radians, beyond it outside that range."""
    return 2 * ((angle - rng.uniform(-np.pi, np.pi) + np.pi) % (2 * np.pi) - np.pi) / span


def epidural(rng, image, inside, depth, middle):
    """A lens on the inner table."""
    edge = np.argwhere(inside & (depth <= 2))
    b = edge[rng.integers(len(edge))]
    out = (b - middle) / (np.linalg.norm(b - middle) + 1e-6)
    radius, thick = rng.uniform(14, 40), rng.uniform(4, 14)
    return inside & (polar(image.shape, b + out * (radius - thick))[0] < radius)


def subdural(rng, image, inside, depth, middle):
    """A crescent along the skull."""
    s = sector(polar(image.shape, middle)[1], rng, rng.uniform(0.9, 2.3))
    return inside & (np.abs(s) < 1) & (depth < rng.uniform(3, 8) * np.cos(np.pi / 2 * np.clip(s, -1, 1)))


def intraparenchymal(rng, image, inside, depth, middle):
    """A lump with an uneven edge."""
    places = np.argwhere(depth > 8)
    at = places[rng.integers(len(places))]
    r, a = polar(image.shape, at)
    edge = 1 + sum(rng.uniform(0, 0.35 / k) * np.cos(k * a + rng.uniform(0, 6.3)) for k in (1, 2, 3, 5))
    return inside & (r < rng.uniform(4, 14) * edge)


def subarachnoid(rng, image, inside, depth, middle, dark=0.05):
    """Sulci and cisterns of a sector filled."""
    fluid = ndimage.gaussian_filter(image, 0.7) < np.median(image[inside]) - dark
    return inside & fluid & (depth < 18) & (np.abs(sector(polar(image.shape, middle)[1], rng, rng.uniform(0.8, 2.5))) < 1)


def intraventricular(rng, image, inside, depth, middle, dark=0.12):
    """The lower part of the ventricles filled, as blood settles."""
    fluid = ndimage.binary_opening(inside & (depth > 22) & (ndimage.gaussian_filter(image, 0.7) < np.median(image[inside]) - dark))
    rows = np.flatnonzero(fluid.any(1))
    level = rows[0] + rng.uniform(0, 0.7) * (rows[-1] - rows[0]) if len(rows) else 0
    return fluid & (np.arange(len(image))[:, None] >= level)


KINDS = {"ivh": (intraventricular, 0.1), "iph": (intraparenchymal, 0.3), "sah": (subarachnoid, 0.15), "edh": (epidural, 0.25), "sdh": (subdural, 0.2)}


def draw(rng, image, inside):
    """(image, mask, kind) with one bleed; None where the kind that was drawn by lot finds no place (no fluid to fill)."""
    kind = rng.choice(list(KINDS), p=[share for _, share in KINDS.values()])
    depth = ndimage.distance_transform_edt(inside)
    middle = np.argwhere(inside).mean(0)
    mask = KINDS[kind][0](rng, image, inside, depth, middle)
    if mask.sum() < 40:
        return None
    soft = ndimage.gaussian_filter(mask.astype(np.float32), rng.uniform(0.5, 1.3))
    blood = np.median(image[inside]) + rng.uniform(*CONTRAST)
    grain = image - ndimage.gaussian_filter(image, 1.5)
    lumps = ndimage.gaussian_filter(rng.normal(0, 1, image.shape), 4) * rng.uniform(0, 0.3)
    filled = np.clip(blood + grain + lumps, 0, 0.95).astype(np.float32)
    return np.where(inside, image + soft * (filled - image), image), mask, kind
