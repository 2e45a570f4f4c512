"""A plain sliding window in PyTorch, for benches/window.rs: patches of 96 that share a half, Gaussian weights, one thread.

    window.py WEIGHTS SIDE      # each line on stdin runs one round; "BARE_SECONDS LOOP_SECONDS" comes out
"""
import itertools
import math
import sys
import time

import numpy as np
import torch

PATCH, OVERLAP = 96, 0.5


def starts(size):
    last, step = size - PATCH, PATCH * (1 - OVERLAP)
    steps = math.ceil(last / step)
    return [round(i * last / max(steps, 1)) for i in range(steps + 1)]


def main():
    torch.set_num_threads(1)
    net, side = torch.jit.load(sys.argv[1]).eval(), int(sys.argv[2])
    axis = np.exp(-0.5 * ((np.arange(PATCH) - (PATCH - 1) / 2) / (PATCH / 8)) ** 2)
    weights = torch.from_numpy((axis[:, None, None] * axis[:, None] * axis).astype(np.float32))
    grid = torch.rand(1, 1, side, side, side)
    places = [tuple(slice(s, s + PATCH) for s in corner) for corner in itertools.product(starts(side), repeat=3)]
    with torch.inference_mode():
        for _ in range(3):
            net(grid[(..., *places[0])].contiguous())
        for _ in sys.stdin:
            patches = [grid[(..., *place)].contiguous() for place in places]
            began = time.perf_counter()
            for patch in patches:
                net(patch)
            bare = time.perf_counter() - began
            del patches
            began = time.perf_counter()
            total, weight = torch.zeros(1, 3, side, side, side), torch.zeros(side, side, side)
            for place in places:
                said = net(grid[(..., *place)].contiguous())
                total[(..., *place)] += said * weights
                weight[place] += weights
            total /= weight
            print(bare, time.perf_counter() - began, flush=True)


if __name__ == "__main__":
    main()
