#!/usr/bin/env python3
"""Loading and resampling of volumes beside SimpleITK, in one run: CPU time on one thread, as ratios to overread's.

    volumes.py INPUTS OVERREAD [--rounds N] [--raw FILE]

Load: from a folder of files in the page cache to a volume of float32, sorted by position (ImageSeriesReader over GDCM's file names). Resample: from
values to values on the same grid; SimpleITK interpolates (sitkLinear) and does not antialias, overread does where the grid is coarser, so
`smoothed` gives SimpleITK a Gaussian of half a new step along each axis first (RecursiveGaussian), as its users do. In each round both do the same, in turns; ratios are taken within the round: median and
quartiles, above 1 means that SimpleITK is slower. Both are pinned to one core where taskset is there."""
import argparse
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import time

import SimpleITK as sitk

VISIT_NS = 300_000_000
CALLS_MIN = 3
ALLOCATOR = {"MALLOC_MMAP_THRESHOLD_": str(32 << 20), "MALLOC_TRIM_THRESHOLD_": str(256 << 20), "MALLOC_TOP_PAD_": str(64 << 20)}
TASKS = ["load native", "load jpeg_lossless", "resample native 1 1 1", "resample native 0.8 0.6 0.6", "resample native 2 2 2", "smoothed native 2 2 2", "smoothed native 3 1.5 1.5"]


class Worker:
    """A child that answers each task with nanoseconds."""

    def __init__(self, command, pin):
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        self.child = subprocess.Popen(pin + command, text=True, env=os.environ | ALLOCATOR, **pipes)

    def __call__(self, task):
        print(task, file=self.child.stdin, flush=True)
        return int(self.child.stdout.readline()) / 1e6


def visit(call):
    times, start = [], time.process_time_ns()
    while len(times) < CALLS_MIN or time.process_time_ns() - start < VISIT_NS:
        before = time.process_time_ns()
        call()
        times.append(time.process_time_ns() - before)
    return sorted(times)[len(times) // 4]


def load(folder):
    reader = sitk.ImageSeriesReader()
    reader.SetOutputPixelType(sitk.sitkFloat32)
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(folder))
    return reader.Execute()


def resample(image, spacing):
    """The grid of overread's `with_spacing`: exactly `spacing`, as many as come nearest to the box, centred in it."""
    size = [max(1, round(n * s / mm)) for n, s, mm in zip(image.GetSize(), image.GetSpacing(), spacing)]
    first = [(n - 1) / 2 - (mm / s) * (m - 1) / 2 for n, s, m, mm in zip(image.GetSize(), image.GetSpacing(), size, spacing)]
    origin = image.TransformContinuousIndexToPhysicalPoint(first)
    return sitk.Resample(image, size, sitk.Transform(), sitk.sitkLinear, origin, spacing, image.GetDirection(), -1024.0)


def smoothed(image, spacing):
    return resample(sitk.SmoothingRecursiveGaussian(image, [mm / 2 for mm in spacing]), spacing)


def answer():
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    held = {}
    for line in sys.stdin:
        task, folder, *spacing = line.split()
        if task == "load":
            held.clear()
            print(visit(lambda: load(folder)), flush=True)
            continue
        if folder not in held:
            held[folder] = load(folder)
        image = held[folder]
        columns_first = [float(mm) for mm in reversed(spacing)]
        work = smoothed if task == "smoothed" else resample
        print(visit(lambda: work(image, columns_first)), flush=True)


def main():
    if sys.argv[1:] == ["--worker"]:
        return answer()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("inputs", type=pathlib.Path)
    parser.add_argument("overread")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--raw", type=pathlib.Path, help="write all milliseconds there, as JSON")
    args = parser.parse_args()
    core = str(sorted(os.sched_getaffinity(0))[-1])
    pin = ["taskset", "-c", core] if shutil.which("taskset") else []
    ours = Worker([args.overread, "--worker"], pin)
    theirs = Worker([sys.executable, __file__, "--worker"], pin)
    print(f"load average {os.getloadavg()[0]:.1f}, {args.rounds} rounds, SimpleITK {sitk.Version_VersionString()}")
    print(f"{'':32}{'overread ms':>12}{'SimpleITK ms':>14}{'ratio (quartiles)':>24}")
    raw = {}
    for task in TASKS:
        verb, series, *spacing = task.split()
        line = " ".join([verb, str(args.inputs / series), *spacing])
        pairs = []
        for turn in range(args.rounds):
            pair = {}
            for name, worker in [("ours", ours), ("theirs", theirs)][:: 1 if turn % 2 else -1]:
                pair[name] = worker(line)
            pairs.append(pair)
        raw[task] = pairs
        ratios = [pair["theirs"] / pair["ours"] for pair in pairs]
        low, middle, high = statistics.quantiles(ratios, n=4) if len(ratios) > 1 else ratios * 3
        mean = lambda name: statistics.median(pair[name] for pair in pairs)
        print(f"{task:32}{mean('ours'):12.1f}{mean('theirs'):14.1f}{f'{middle:.2f} ({low:.2f}-{high:.2f})':>24}", flush=True)
    if args.raw:
        args.raw.write_text(json.dumps(raw, indent=1))


main()
