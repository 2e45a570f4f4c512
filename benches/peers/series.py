#!/usr/bin/env python3
"""Makes the series of benches/volumes: 300 CT slices that lie in a patient, native and as JPEG lossless.

    series.py TESTDATA OUT

The pixels are those of 693_UNCR.dcm (512 x 512, 16 bits, never lossy), turned about their columns from slice to slice; 0.7 mm a pixel, 0.8 mm a
slice. File names are in no order. Encoder: imagecodecs (libjpeg-turbo)."""
import pathlib
import random
import sys

import imagecodecs
import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate

SLICES = 300
SYNTAXES = {
    "native": ("1.2.840.10008.1.2.1", None),
    "jpeg_lossless": ("1.2.840.10008.1.2.4.70", lambda p: imagecodecs.jpeg8_encode(p, lossless=True, predictor=1, bitspersample=16)),
}


def write(path, pixels, index, name, uid, encode):
    image = Dataset()
    image.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    image.SOPClassUID = "1.2.840.10008.5.1.4.1.1.2"
    image.SOPInstanceUID = pydicom.uid.generate_uid(entropy_srcs=[name, str(index)])
    image.StudyInstanceUID = pydicom.uid.generate_uid(entropy_srcs=["study"])
    image.SeriesInstanceUID = pydicom.uid.generate_uid(entropy_srcs=["series", name])
    image.FrameOfReferenceUID = pydicom.uid.generate_uid(entropy_srcs=["frame"])
    image.Modality = "CT"
    image.PatientID, image.PatientName = "BENCH", "BENCH"
    image.InstanceNumber = index + 1
    image.ImagePositionPatient = ["-179", "-179", f"{index * 0.8:.1f}"]
    image.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    image.PixelSpacing, image.SliceThickness = ["0.7", "0.7"], "0.8"
    image.Rows, image.Columns = pixels.shape
    image.SamplesPerPixel, image.PhotometricInterpretation = 1, "MONOCHROME2"
    image.BitsAllocated, image.BitsStored, image.HighBit, image.PixelRepresentation = 16, 16, 15, 0
    image.RescaleSlope, image.RescaleIntercept = 1, -2000
    image.WindowCenter, image.WindowWidth = 40, 400
    image.PixelData = pixels.tobytes() if encode is None else encapsulate([encode(pixels)])
    image["PixelData"].VR = "OW" if encode is None else "OB"
    image["PixelData"].is_undefined_length = encode is not None
    image.file_meta = FileMetaDataset()
    image.file_meta.TransferSyntaxUID = uid
    image.file_meta.MediaStorageSOPClassUID = image.SOPClassUID
    image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID
    image.preamble = bytes(128)
    image.save_as(path, implicit_vr=False, little_endian=True, enforce_file_format=True)


def main():
    testdata, out = map(pathlib.Path, sys.argv[1:3])
    ct = pydicom.dcmread(testdata / "693_UNCR.dcm").pixel_array.astype("i4")
    ct = np.clip(ct + 2000, 0, 65535).astype("u2")
    assert ct.shape == (512, 512)
    for name, (uid, encode) in SYNTAXES.items():
        (out / name).mkdir(parents=True, exist_ok=True)
        files = random.Random(7).sample(range(16**6), SLICES)
        for index, file in enumerate(files):
            write(out / name / f"{file:06x}.dcm", np.ascontiguousarray(np.roll(ct, index, axis=1)), index, name, uid, encode)
    (out / "complete").touch()


main()
