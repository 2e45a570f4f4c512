"""DICOM radiograph -> display values 0..1, black = air: the first step of the recipe, for golden examples.

Only what `RG1_UNCI.dcm` and its like need: uncompressed or pydicom-decodable pixels, rescale, linear window.
"""
from pathlib import Path

import numpy as np
import pydicom


def registry_file(name="RG1_UNCI.dcm"):
    """A file of the registry package pydicom-data 1.0.0."""
    import data_store
    return Path(data_store.__path__[0]) / "data" / name


def small_file(name):
    """A test file inside the registry package pydicom 3.0.2."""
    return Path(pydicom.__path__[0]) / "data" / "test_files" / name


def display(path):
    """float32 rows x columns, not rounded to 8 bits."""
    d = pydicom.dcmread(path)
    x = d.pixel_array.astype(np.float64) * float(d.get("RescaleSlope", 1) or 1) + float(d.get("RescaleIntercept", 0) or 0)
    if "WindowCenter" in d:
        first = lambda v: float(v[0] if isinstance(v, pydicom.multival.MultiValue) else v)
        c, w = first(d.WindowCenter), first(d.WindowWidth)
        y = (x - (c - 0.5)) / (w - 1) + 0.5                       # PS3.3 C.11.2.1.2, LINEAR
    else:
        lo, hi = np.percentile(x, [0.5, 99.5])
        y = (x - lo) / (hi - lo)
    y = np.clip(y, 0, 1)
    return (1 - y if d.PhotometricInterpretation == "MONOCHROME1" else y).astype(np.float32)
