#!/usr/bin/env python3
"""Decoders of DICOM pixels beside overread, in one run: CPU time, of all threads, as ratios to overread's.

    compare.py INPUTS OVERREAD DICOM_RS [--rounds N] [--only WORD] [--raw FILE]

OVERREAD and DICOM_RS are programs (`--worker NAME` is added to the first). In each round every candidate decodes the same file, in rotated
order; ratios are taken within the round, so that slow drifts of the machine cancel. Shown: milliseconds of overread, then per candidate the
median ratio to overread with its quartiles; above 1 is slower than overread. A difference inside the quartiles is none. DCMTK has no
process that stays: its column is the CPU time of the whole program that decompresses a file to a file, less that of dcmconv for the native
file in the same round. `-`: does not decode it. All candidates are pinned to one core where taskset is there, and all have the allocator
settings that overread's service has: freed memory stays with the process."""
import argparse
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile

ALLOCATOR = {"MALLOC_MMAP_THRESHOLD_": str(32 << 20), "MALLOC_TRIM_THRESHOLD_": str(256 << 20), "MALLOC_TOP_PAD_": str(64 << 20)}
HERE = pathlib.Path(__file__).parent
DCMTK = {"jpeg_baseline": "dcmdjpeg", "jpeg_extended": "dcmdjpeg", "jpeg_lossless": "dcmdjpeg", "jpeg_ls": "dcmdjpls", "rle": "dcmdrle"}


class Worker:
    """A child that answers each path with nanoseconds."""

    def __init__(self, command, pin):
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        self.child = subprocess.Popen(pin + command, text=True, env=os.environ | ALLOCATOR, **pipes)

    def __call__(self, path):
        print(path, file=self.child.stdin, flush=True)
        answer = self.child.stdout.readline().strip()
        return None if answer in ("", "-") else int(answer) / 1e6


class Dcmtk:
    """Programs that start anew each time."""

    def __init__(self, pin):
        self.pin, self.out = pin, tempfile.NamedTemporaryFile(suffix=".dcm")

    def cpu_ms(self, command):
        child = subprocess.Popen(self.pin + command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        _, status, used = os.wait4(child.pid, 0)
        return None if status else (used.ru_utime + used.ru_stime) * 1e3

    def __call__(self, path):
        kind, syntax = path.stem.split("_", 1)
        program = DCMTK.get(syntax)
        if not program or not shutil.which(program):
            return None
        whole = self.cpu_ms([program, str(path), self.out.name])
        floor = self.cpu_ms(["dcmconv", str(path.with_name(f"{kind}_native.dcm")), self.out.name])
        return None if whole is None or floor is None else max(whole - floor, 0.0)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("inputs", type=pathlib.Path)
    parser.add_argument("overread")
    parser.add_argument("dicom_rs")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--only", default="", help="only files with this in their name")
    parser.add_argument("--raw", type=pathlib.Path, help="write all milliseconds there, as JSON")
    return parser.parse_args()


def main():
    args = arguments()
    core = str(sorted(os.sched_getaffinity(0))[-1])
    pin = ["taskset", "-c", core] if shutil.which("taskset") else []
    python = [sys.executable, str(HERE / "worker.py")]
    candidates = {name: Worker([args.overread, "--worker", name], pin) for name in ("overread", "overread-rust", "library")}
    candidates["dicom-rs"] = Worker([args.dicom_rs], pin)
    for name in ("default", "pylibjpeg", "gdcm", "imagecodecs"):
        candidates["pydicom" if name == "default" else name] = Worker(python + [name], pin)
    candidates["dcmtk"] = Dcmtk(pin)
    print(f"load average {os.getloadavg()[0]:.1f}, {args.rounds} rounds")
    print("file             overread ms  " + "".join(f"{name:>22}" for name in candidates if name != "overread"))
    raw = {}
    for path in sorted(args.inputs.glob("*.dcm")):
        if args.only not in path.name:
            continue
        times = {name: [] for name in candidates}
        for turn in range(args.rounds):
            names = [name for name in candidates if turn == 0 or times[name][0] is not None]
            for name in names[turn % len(names) :] + names[: turn % len(names)]:
                times[name].append(candidates[name](path))
        raw[path.stem] = times
        print(row(path.stem, times), flush=True)
    if args.raw:
        args.raw.write_text(json.dumps(raw, indent=1))


def row(name, times):
    ours = times.pop("overread")
    cells = [f"{name:18} {statistics.median(ours):9.3f}  "]
    for theirs in times.values():
        if theirs[0] is None:
            cells.append(f"{'-':>22}")
            continue
        ratios = [a / b for a, b in zip(theirs, ours)]
        low, middle, high = statistics.quantiles(ratios, n=4) if len(ratios) > 1 else ratios * 3
        cells.append(f"{f'{middle:.2f} ({low:.2f}-{high:.2f})':>22}")
    times["overread"] = ours
    return "".join(cells)


main()
