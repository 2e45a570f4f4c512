"""How the classifiers are trained: AdamW, one rise and fall of the learning rates, and the moving average of the weights."""
import torch

import network
import pipeline as p

NORM_MAX = 2.0                 # gradients longer than this are shortened to it


class Descent:
    """The steps of one training of `net`, a network.Classifier: its first `frozen` blocks stay as they are, `rates` are the highest learning
    rates of body and head, `keep` is what the average keeps of itself at each of the `steps`."""

    def __init__(self, net, frozen, rates, decay, steps, keep):
        self.net, self.params = net, network.freeze(net, frozen)
        network.normalise(net, True)
        head = [net.fc.weight, net.bias, *net.fields.parameters()]
        body = [q for q in self.params if all(q is not h for h in head)]
        groups = [{"params": params, "lr": rate} for params, rate in zip((body, head), rates)]
        self.opt = torch.optim.AdamW(groups, weight_decay=decay)
        self.plan = torch.optim.lr_scheduler.OneCycleLR(self.opt, list(rates), total_steps=steps, pct_start=0.1)
        self.ema = p.Ema(net, keep)

    def step(self, loss):
        self.opt.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.params, NORM_MAX)
        self.opt.step()
        self.plan.step()
        self.ema.update(self.net)

    def averaged(self):
        """The network with the averaged weights in it."""
        return self.ema.into(self.net)
