#!/usr/bin/env python3
"""Makes the inputs of benches/pixels and benches/peers: the same real pixels in every transfer syntax.

    inputs.py TESTDATA OUT

CT: 693_UNCR.dcm (512 x 512, 16 bits) as it is, moved to unsigned. CR: RG1_UNCR.dcm (1955 x 1841), cut to 12 bits, and mirrored at its edges
to 2500 x 2048: interpolating would smooth its noise away, and noise is what a lossless codec spends its time on. Both were never lossy. 8-bit
files hold the upper bits that a window over the whole range would show. A series of 300 CT slices is the slice turned about its columns.
In square/, for benches/decode, lies the corner of 2000 x 2000 of the radiograph in every syntax that is compressed by a codec.
Encoders: imagecodecs (libjpeg-turbo, CharLS, OpenJPEG, OpenJPH, libjxl), pylibjpeg-rle, zlib. Prints bytes per file."""
import pathlib
import sys
import zlib

import imagecodecs
import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from rle import encode_pixel_data as rle_encode

SLICES = 300


def rle(pixels):
    header = dict(rows=pixels.shape[0], columns=pixels.shape[1], samples_per_pixel=1, number_of_frames=1)
    bits = pixels.itemsize * 8
    return bytes(rle_encode(pixels.tobytes(), byteorder="<", bits_allocated=bits, pixel_representation=0, **header))


def deflate(pixels):
    raw = zlib.compressobj(6, zlib.DEFLATED, -15)
    return raw.compress(pixels.tobytes()) + raw.flush()


def syntaxes(bits):
    """Name: UID, bits of a sample, encoder (None: native)."""
    return {
        "native": ("1.2.840.10008.1.2.1", bits, None),
        "deflated_frame": ("1.2.840.10008.1.2.8.1", bits, deflate),
        "rle": ("1.2.840.10008.1.2.5", bits, rle),
        "jpeg_baseline": ("1.2.840.10008.1.2.4.50", 8, lambda p: imagecodecs.jpeg8_encode(p, level=95)),
        "jpeg_extended": ("1.2.840.10008.1.2.4.51", 12, lambda p: imagecodecs.jpeg8_encode(p, level=95, bitspersample=12)),
        "jpeg_lossless": (
            "1.2.840.10008.1.2.4.70",
            bits,
            lambda p: imagecodecs.jpeg8_encode(p, lossless=True, predictor=1, bitspersample=bits),
        ),
        "jpeg_ls": ("1.2.840.10008.1.2.4.80", bits, lambda p: imagecodecs.jpegls_encode(p)),
        "jpeg_2000": (
            "1.2.840.10008.1.2.4.90",
            bits,
            lambda p: imagecodecs.jpeg2k_encode(p, level=0, codecformat="j2k", reversible=True, bitspersample=bits, mct=False),
        ),
        "htj2k": ("1.2.840.10008.1.2.4.201", bits, lambda p: imagecodecs.htj2k_encode(p, reversible=True)),
        "jpeg_xl": (
            "1.2.840.10008.1.2.4.110",
            bits,
            lambda p: imagecodecs.jpegxl_encode(p, lossless=True, bitspersample=16, usecontainer=False),
        ),
    }


def write(path, pixels, stored_bits, uid, encode, name):
    """`pixels`: rows x columns, or rows x columns x R, G, B. Gives the bytes of the codestream."""
    image = Dataset()
    image.SOPClassUID = "1.2.840.10008.5.1.4.1.1.2" if name.startswith("ct") else "1.2.840.10008.5.1.4.1.1.1"
    image.SOPInstanceUID = pydicom.uid.generate_uid(entropy_srcs=[name])
    image.StudyInstanceUID = pydicom.uid.generate_uid(entropy_srcs=["study", name[:2]])
    image.SeriesInstanceUID = pydicom.uid.generate_uid(entropy_srcs=["series", name[:2]])
    image.Modality = name[:2].upper()
    image.PatientID, image.PatientName = "BENCH", "BENCH"
    image.Rows, image.Columns = pixels.shape[:2]
    image.SamplesPerPixel, image.PhotometricInterpretation = 1, "MONOCHROME2"
    if pixels.ndim == 3:
        image.SamplesPerPixel, image.PhotometricInterpretation, image.PlanarConfiguration = 3, "YBR_FULL_422", 0
    image.BitsAllocated, image.BitsStored, image.HighBit = pixels.itemsize * 8, stored_bits, stored_bits - 1
    image.PixelRepresentation = 0
    image.RescaleSlope, image.RescaleIntercept = 1, 0
    image.WindowCenter, image.WindowWidth = (2040, 400) if name.startswith("ct") else (1500, 2000)
    codestream = pixels.tobytes() if encode is None else encode(pixels)
    image.PixelData = codestream if encode is None else encapsulate([codestream])
    image["PixelData"].VR = "OW" if encode is None and pixels.itemsize == 2 else "OB"
    image["PixelData"].is_undefined_length = encode is not None
    image.file_meta = FileMetaDataset()
    image.file_meta.TransferSyntaxUID = uid
    image.file_meta.MediaStorageSOPClassUID = image.SOPClassUID
    image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID
    image.file_meta.FileMetaInformationGroupLength = 0  # dicom-rs insists on it; pydicom counts it when it writes
    image.file_meta.FileMetaInformationVersion = b"\0\1"
    image.file_meta.ImplementationClassUID = pydicom.uid.PYDICOM_IMPLEMENTATION_UID
    image.preamble = bytes(128)
    # Forced, because pydicom does not know every transfer syntax here.
    image.save_as(path, implicit_vr=False, little_endian=True, force_encoding=True)
    return len(codestream)


def squares(out, cr):
    """A film of 2000 x 2000 in each syntax that workers decode, and a colour photograph of it."""
    out.mkdir(exist_ok=True)
    square = np.ascontiguousarray(cr[:2000, :2000])
    for syntax, (uid, deep, encode) in syntaxes(12).items():
        if syntax in ("native", "deflated_frame", "rle"):
            continue
        shown = square if deep == 12 else (square >> 4).astype("u1")
        write(out / f"{syntax}.dcm", shown, deep, uid, encode, f"cr_square_{syntax}")
    grey = (square >> 4).astype("u1")
    colour = np.stack([grey, 255 - grey, np.roll(grey, 500, axis=0)], axis=-1)
    uid = syntaxes(8)["jpeg_baseline"][0]
    encode = lambda p: imagecodecs.jpeg8_encode(p, level=95, colorspace="rgb", outcolorspace="ycbcr", subsampling="422")
    write(out / "jpeg_baseline_colour.dcm", colour, 8, uid, encode, "cr_square_colour")


def main():
    testdata, out = map(pathlib.Path, sys.argv[1:3])
    ct = pydicom.dcmread(testdata / "693_UNCR.dcm").pixel_array.astype("i4")
    ct = np.clip(ct + 2000, 0, 65535).astype("u2")
    cr = pydicom.dcmread(testdata / "RG1_UNCR.dcm").pixel_array >> 3
    cr = np.pad(cr, ((0, 2500 - cr.shape[0]), (0, 2048 - cr.shape[1])), mode="symmetric").astype("u2")
    assert ct.shape == (512, 512) and cr.shape == (2500, 2048) and cr.max() < 4096
    out.mkdir(parents=True, exist_ok=True)
    for name, pixels, bits in (("ct", ct, 16), ("cr", cr, 12)):
        for syntax, (uid, deep, encode) in syntaxes(bits).items():
            shown = pixels
            if deep < bits:
                shown = np.minimum(pixels, 4095) if name == "ct" else pixels
                shown = shown if deep == 12 else (shown >> 4).astype("u1")
            size = write(out / f"{name}_{syntax}.dcm", shown, deep, uid, encode, f"{name}_{syntax}")
            print(f"{name}_{syntax}: {size} bytes, {shown.nbytes / size:.2f}:1")
    squares(out / "square", cr)
    (out / "series").mkdir(exist_ok=True)
    uid, bits, encode = syntaxes(16)["jpeg_lossless"]
    for index in range(SLICES):
        turned = np.ascontiguousarray(np.roll(ct, index, axis=1))
        write(out / "series" / f"{index:03}.dcm", turned, bits, uid, encode, f"ct_series_{index}")


main()
