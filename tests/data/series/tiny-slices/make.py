"""Makes this folder's weights.pt and golden file: per slice, `bright` follows the brightest 8 x 8 of the 64 x 64 input, `dark` the darkest.

The input is a window of -160 to 240 HU as 0 to 1: water is 0.4, 300 HU is 1.
"""
import sys
from typing import Tuple

import torch
import torch.nn.functional as F

sys.path.insert(0, "../..")
from tiny import Bias, save, wave  # noqa: E402


class Tiny(Bias):
    def forward(self, x: torch.Tensor) -> Tuple[torch.Tensor, torch.Tensor]:
        mean = F.avg_pool2d(x, 8)
        maps = 20.0 * torch.cat([mean - 0.7, 0.1 - mean], 1)
        return maps.amax((2, 3)) + self.bias, maps


save(Tiny([0.0, 0.0]), wave(1, 1, 64, 64), "self_test_logits.npy")
