"""Makes this folder's weights.pt and golden files: a network of a few bytes whose output is a formula.

Maps are 4 x 4 means of the 64 x 64 input: `bright` is the mean itself, `dark` its negative; on an image that is nearly all white it never ends.
Needs torch; run it here, then `python models/package.py tests/data/stuck/tiny-stuck` writes the digests.
"""
import sys

import numpy as np
import torch
import torch.nn.functional as F

sys.path.insert(0, "../..")
from tiny import Bias, save  # noqa: E402


class Tiny(Bias):
    def forward(self, x):
        rounds = 0
        while bool(x.mean() > 1.5):
            rounds += 1
        mean = F.avg_pool2d(x, 16)
        maps = torch.cat([mean, -mean], 1)
        return maps.mean((2, 3)) + self.bias, maps


rows, columns = np.mgrid[0:64, 0:64].astype(np.float32)
x = (((rows * 7 + columns * 13) % 32) / 16 - 1)[None, None].astype(np.float32)
np.save("golden/self_test_input.npy", x)
save(Tiny([0.25, -0.25]), x, "self_test_logits.npy")
