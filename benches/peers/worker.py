#!/usr/bin/env python3
"""One candidate of compare.py: a path a line comes in, the CPU nanoseconds of decoding its first frame go out.

    worker.py default|pylibjpeg|gdcm|pyjpegls     a decoding plug-in of pydicom, or the first that it finds
    worker.py imagecodecs                         the library on the bare codestream, into a buffer that is there already

The file is read and its frame cut out outside the clock, which counts all threads (GDCM's OpenJPEG starts some); the lower quartile of the calls of one visit counts."""
import logging
import sys
import time

import imagecodecs
import pydicom
from pydicom.encaps import get_frame
from pydicom.pixels import get_decoder

VISIT_NS = 150_000_000
LIBRARY = {
    "1.2.840.10008.1.2.4.50": imagecodecs.jpeg8_decode,
    "1.2.840.10008.1.2.4.51": imagecodecs.jpeg8_decode,
    "1.2.840.10008.1.2.4.70": imagecodecs.jpeg8_decode,
    "1.2.840.10008.1.2.4.80": imagecodecs.jpegls_decode,
    "1.2.840.10008.1.2.4.90": imagecodecs.jpeg2k_decode,
    "1.2.840.10008.1.2.4.110": lambda data, out: imagecodecs.jpegxl_decode(data, numthreads=1, out=out),
    "1.2.840.10008.1.2.4.201": imagecodecs.htj2k_decode,
}


def visit(call):
    call()
    times, start = [], time.process_time_ns()
    while len(times) < 3 or time.process_time_ns() - start < VISIT_NS:
        before = time.process_time_ns()
        call()
        times.append(time.process_time_ns() - before)
    return sorted(times)[len(times) // 4]


def decoder(name, path):
    image = pydicom.dcmread(path)
    uid = image.file_meta.TransferSyntaxUID
    if name == "imagecodecs":
        decode, codestream = LIBRARY[uid], get_frame(image.PixelData, 0, number_of_frames=1)
        out = decode(codestream, out=None)
        return lambda: decode(codestream, out=out)
    plugin = "" if name == "default" or not uid.is_compressed else name
    decode = get_decoder(uid)
    if plugin and plugin not in decode.available_plugins:
        raise ValueError(f"{uid} is not decoded by {plugin}")
    return lambda: decode.as_array(image, index=0, raw=True, decoding_plugin=plugin)


def main():
    logging.disable(logging.CRITICAL)
    for line in sys.stdin:
        try:
            answer = visit(decoder(sys.argv[1], line.strip()))
        except Exception as error:
            print(f"{sys.argv[1]} {line.strip()}: {error}", file=sys.stderr)
            answer = "-"
        print(answer, flush=True)


main()
