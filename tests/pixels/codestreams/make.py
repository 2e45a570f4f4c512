#!/usr/bin/env python3
"""Makes `made.bin` beside it: HTJ2K and JPEG XL of every depth and sign that is read, for tests/pixels, since no crate encodes them.

    make.py OUT        needs ojph_compress (Debian: openjph-tools), imagecodecs 2026.3.6 and NumPy; nothing of it is needed by the tests

Encoders are OpenJPH and libjxl. What is expected: without loss, what was put in, and this script stops unless the encoder's own decoder gives it
back; with loss, what that decoder gives. The images are drawn here: flat parts, steps and noise.

The file is DEFLATE of records, one after the other: a line of JSON, the codestream, the expected codes as u16 little endian."""
import itertools
import json
import pathlib
import subprocess
import sys
import tempfile
import zlib

import imagecodecs
import numpy as np

ROWS, COLUMNS = 20, 24
# Where a codestream says the depth and sign of its first component (A.5.1).
SSIZ = 42
HTJ2K_LOSSLESS, HTJ2K_RPCL, HTJ2K = (f"1.2.840.10008.1.2.4.{n}" for n in (201, 202, 203))
JXL_LOSSLESS, JXL_JPEG, JXL = (f"1.2.840.10008.1.2.4.{n}" for n in (110, 111, 112))


def noise():
    state, all_ones = 0x9E3779B97F4A7C15, 2**64 - 1
    while True:
        state ^= state << 13 & all_ones
        state ^= state >> 7
        state ^= state << 17 & all_ones
        yield state >> 16 & 0xFFFFFFFF


NOISE = noise()


def drawn(bits, samples, smooth):
    """Codes of `bits` bits, rows x columns x samples. Lossy coding gets no noise: there decoders would differ more than by rounding."""
    mask = (1 << bits) - 1
    kinds = [lambda at, _: mask // 3, lambda at, _: at * (mask // 64 + 1) & mask, lambda at, bits: bits & mask]
    if smooth:
        kinds = [lambda at, _: mask // 3, lambda at, _: (at // samples) % COLUMNS * mask // COLUMNS, lambda at, _: at // samples * mask // (ROWS * COLUMNS)]
    codes = np.array([kinds[at // 160 % 3](at, next(NOISE)) for at in range(ROWS * COLUMNS * samples)], np.int64)
    if smooth and bits >= 4:
        # Away from the ends of the range, where OpenJPH wraps around what it should clip.
        margin = mask // 16 + 2
        codes = margin + codes * (mask - 2 * margin) // mask
    return codes.reshape(ROWS, COLUMNS, samples)


def htj2k(codes, bits, signed, options):
    """Signed samples are coded as unsigned ones that lie half the range higher, and the sign is written into the header afterwards: the coder takes
    that half off unsigned samples itself (ISO/IEC 15444-1 G.1)."""
    half = 1 << (bits - 1)
    kind, sent = ("P5", codes ^ half) if signed else ("P5" if codes.shape[2] == 1 else "P6", codes)
    with tempfile.TemporaryDirectory() as folder:
        source, coded = pathlib.Path(folder, "in.pgm" if kind == "P5" else "in.ppm"), pathlib.Path(folder, "out.j2c")
        source.write_bytes(f"{kind} {COLUMNS} {ROWS} {(1 << bits) - 1}\n".encode() + sent.astype(">u2" if bits > 8 else "u1").tobytes())
        subprocess.run(["ojph_compress", "-i", source, "-o", coded, "-num_decomps", "2", *options], check=True, stdout=subprocess.DEVNULL)
        stream = bytearray(coded.read_bytes())
    assert stream[2:4] == b"\xff\x51" and stream[SSIZ] == bits - 1
    stream[SSIZ] |= 0x80 if signed else 0
    return bytes(stream)


def by_openjph(stream):
    array = np.asarray(imagecodecs.htj2k_decode(stream))
    return np.moveaxis(array, 0, 2) if array.ndim == 3 and array.shape[0] == 3 else array


def decoded(decode, coded, bits, shape):
    """Codes of `bits` bits, by the encoder's own decoder."""
    array = np.asarray(decode(coded))
    return (array.astype(np.int64) & ((1 << bits) - 1)).reshape(shape)


def kinds():
    """What is coded, and how: transfer syntax, photometric interpretation, bits, sign, codestream, what went in if nothing is lost, what comes back."""
    for bits, (samples, signed) in itertools.product(range(1, 17), [(1, False), (1, True), (3, False)]):
        if signed and bits == 1:
            continue
        hard, smooth = drawn(bits, samples, smooth=False), drawn(bits, samples, smooth=True)
        for syntax, order in [(HTJ2K_LOSSLESS, "LRCP"), (HTJ2K_RPCL, "RPCL")]:
            for photometric, colour in [("MONOCHROME2", [])] if samples == 1 else [("RGB", ["-colour_trans", "false"]), ("YBR_RCT", [])]:
                coded = htj2k(hard, bits, signed, ["-reversible", "true", "-prog_order", order, *colour])
                yield syntax, photometric, bits, signed, coded, hard, decoded(by_openjph, coded, bits, hard.shape)
        # A sign that changes from pixel to pixel is no edge here: codes as those of values from least to largest.
        turned = smooth ^ (1 << (bits - 1)) if signed else smooth
        coded = htj2k(turned, bits, signed, ["-reversible", "false", "-qstep", "0.002"])
        yield HTJ2K, "YBR_ICT" if samples == 3 else "MONOCHROME2", bits, signed, coded, None, decoded(by_openjph, coded, bits, smooth.shape)
        photometric = "RGB" if samples == 3 else "MONOCHROME2"
        cells = lambda codes: codes.astype(np.uint16 if bits > 8 else np.uint8).squeeze()
        coded = imagecodecs.jpegxl_encode(cells(hard), lossless=True, bitspersample=bits)
        yield JXL_LOSSLESS, photometric, bits, signed, coded, hard, decoded(imagecodecs.jpegxl_decode, coded, bits, hard.shape)
        # JPEG XL knows no sign: signed codes stand as they are, and here keep away from where they wrap.
        smooth = smooth // 2 if signed else smooth
        coded = imagecodecs.jpegxl_encode(cells(smooth), distance=0.3, bitspersample=bits)
        yield JXL, photometric, bits, signed, coded, None, decoded(imagecodecs.jpegxl_decode, coded, bits, smooth.shape)
    smooth = drawn(8, 1, smooth=True)
    jpeg = imagecodecs.jpeg8_encode(smooth.astype(np.uint8).squeeze(), level=90)
    yield JXL_JPEG, "MONOCHROME2", 8, False, imagecodecs.jpegxl_encode_jpeg(jpeg), None, decoded(imagecodecs.jpeg8_decode, jpeg, 8, smooth.shape)


def main(out):
    records = []
    for syntax, photometric, bits, signed, coded, want, got in kinds():
        if want is not None and not np.array_equal(want, got):
            sys.exit(f"{syntax} {photometric} of {bits} bits, signed {signed}, is not given back")
        head = {"syntax": syntax, "photometric": photometric, "bits": bits, "signed": signed, "lossless": want is not None, "coded": len(coded)}
        records += [json.dumps(head).encode() + b"\n", coded, got.astype("<u2").tobytes()]
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    out.write_bytes(deflate.compress(b"".join(records)) + deflate.flush())
    print(f"{len(records) // 3} images, {out.stat().st_size} bytes")


main(pathlib.Path(sys.argv[1]))
