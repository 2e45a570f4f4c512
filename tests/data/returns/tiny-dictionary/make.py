"""Makes this folder's weights.pt and golden file: the test model's formula, returned as a dictionary with more in it than is read.

Needs torch; run it here, then `python models/package.py tests/data/returns/tiny-dictionary` writes the digests.
"""
import sys
from pathlib import Path
from typing import Dict

import torch
import torch.nn.functional as F

sys.path.insert(0, str(Path(__file__).resolve().parents[4] / "models"))
import self_test    # noqa: E402


class Tiny(torch.nn.Module):
    def forward(self, x) -> Dict[str, torch.Tensor]:
        mean = F.avg_pool2d(x, 16)
        maps = torch.cat([mean, -mean, mean * 0.0], 1)
        return {"embedding": x.flatten(1), "cam": maps, "cls": maps.mean((2, 3))}


torch.jit.script(Tiny().eval()).save("weights.pt")
self_test.write(".")
