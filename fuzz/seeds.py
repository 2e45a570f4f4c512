#!/usr/bin/env python3
"""Seeds for the fuzz targets from DICOM files: seeds.py OUT FOLDER...

Whole files for `instance`, data sets for `prescan`, header elements for `header` and `values`, and the codestreams of
encapsulated files for the codec targets, each behind the seven bytes that `Form::take` (src/object.rs) reads. Nothing here checks
anything: a seed that is nonsense costs the fuzzer one run.
"""
import struct
import sys
from pathlib import Path

BYTES_MAX = 32_768
SYNTAXES = {  # as listed in the targets
    "jpeg": ["1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51", "1.2.840.10008.1.2.4.57", "1.2.840.10008.1.2.4.70"],
    "jpeg_ls": ["1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.81"],
    "jpeg_2000": ["1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.91", "1.2.840.10008.1.2.4.201", "1.2.840.10008.1.2.4.203"],
    "jpeg_xl": ["1.2.840.10008.1.2.4.110", "1.2.840.10008.1.2.4.111", "1.2.840.10008.1.2.4.112"],
    "plain": ["1.2.840.10008.1.2.5", "1.2.840.10008.1.2.8.1", "1.2.840.10008.1.2.1.98"],
    "prescan": ["1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99"],
}


def meta(data):
    """(transfer syntax, where the data set starts) of a Part 10 file; None if it is none."""
    if data[128:132] != b"DICM":
        return None
    at, syntax = 132, ""
    while data[at:at + 2] == b"\x02\x00" and at + 12 <= len(data):
        if data[at + 4:at + 6] in (b"OB", b"OW", b"UN", b"SQ", b"UT"):
            start, length = at + 12, struct.unpack_from("<I", data, at + 8)[0]
        else:
            start, length = at + 8, struct.unpack_from("<H", data, at + 6)[0]
        if data[at + 2:at + 4] == b"\x10\x00":
            syntax = data[start:start + length].decode("latin-1").strip("\0 ")
        at = start + length
    return syntax, at


def first_fragment(data):
    """The first fragment of encapsulated pixels, if there are any."""
    at = data.find(b"\xe0\x7f\x10\x00OB\0\0\xff\xff\xff\xff")
    if at < 0:
        return None
    at += 12
    for number in range(2):
        if data[at:at + 4] != b"\xfe\xff\x00\xe0":
            return None
        length = struct.unpack_from("<I", data, at + 4)[0]
        if number:
            return data[at + 8:at + 8 + length]
        at += 8 + length


def word(data, number):
    """A US attribute of group 0028 in explicit VR little endian."""
    at = data.find(struct.pack("<HH", 0x28, number) + b"US\2\0")
    return struct.unpack_from("<H", data, at + 8)[0] if at >= 0 else 1


def form(data, syntax_index):
    """The seven bytes of a form like that of `data`, as far as they reach."""
    allocated, samples = word(data, 0x100), word(data, 2)
    bits = {8: 0, 16: 1, 32: 2, 1: 3}.get(allocated, 1)
    kind = (4 if samples == 3 else 0) | (8 if word(data, 0x103) == 1 else 0)
    return bytes([syntax_index, (word(data, 0x10) - 1) & 255, (word(data, 0x11) - 1) & 255, 0, bits, (word(data, 0x101) - 1) & 255, kind])


def main(out, folders):
    count = 0
    for path in sorted(p for f in folders for p in Path(f).rglob("*") if p.is_file()):
        data = path.read_bytes()
        seeds = {}
        if len(data) <= BYTES_MAX:
            seeds["instance"] = data
        found = meta(data)
        if found:
            syntax, at = found
            dataset, fragment = data[at:], first_fragment(data[at:])
            if syntax in SYNTAXES["prescan"] and len(dataset) <= BYTES_MAX:
                seeds["prescan"] = bytes([SYNTAXES["prescan"].index(syntax)]) + dataset
            elements = dataset[:dataset.find(b"\xe0\x7f\x10\x00")]
            if syntax == SYNTAXES["prescan"][1] and 0 < len(elements) <= 8192:
                seeds["header"] = form(dataset, 0) + elements
            for target, known in SYNTAXES.items():
                if fragment and syntax in known and len(fragment) <= BYTES_MAX:
                    seeds[target] = form(dataset, known.index(syntax)) + fragment
        for target, seed in seeds.items():
            folder = Path(out, target)
            folder.mkdir(parents=True, exist_ok=True)
            (folder / path.name).write_bytes(seed)
            count += 1
    print(f"{count} seeds in {out}", file=sys.stderr)


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    main(sys.argv[1], sys.argv[2:])
