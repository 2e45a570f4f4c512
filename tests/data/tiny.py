"""What the make.py of the test models share: each is a network of a few bytes whose output is a formula.

A make.py runs in its own folder and needs torch; `python models/package.py FOLDER` then writes the digests.
"""
import numpy as np
import torch


class Bias(torch.nn.Module):
    """TorchScript wants a parameter: one that is added to what `formula` gives, so that weights are loaded and used."""

    def __init__(self, bias):
        super().__init__()
        self.bias = torch.nn.Parameter(torch.tensor(bias))


def wave(*shape):
    """The self-test's input: 0.05 r, 0.03 c and so on, see models/README.md; shape is 1 x channels (x depth) x rows x columns."""
    depth = shape[2] if len(shape) == 5 else 1
    k, d, r, c = np.ogrid[: shape[1], :depth, : shape[-2], : shape[-1]]
    x = np.sin(0.05 * r) * np.cos(0.03 * c) + 0.002 * (r - c) + 0.1 * k + 0.05 * d
    return x.astype(np.float32).reshape(shape)


def save(net, x, expect):
    """Writes weights.pt, and golden/EXPECT: the first output for the input x."""
    script = torch.jit.script(net.eval())
    script.save("weights.pt")
    with torch.no_grad():
        out = script(torch.from_numpy(x))
    first = out[0] if isinstance(out, tuple) else out
    np.save(f"golden/{expect}", first.numpy())
