"""Trains the net of this folder with torch and writes it as a Caffe model: `python examples/digits/train.py`.

It takes about 20 seconds on one core. Every torch module below has the name of a layer in digits.prototxt and computes
the same; `to_caffe` and `from_caffe` convert its weights. The seed determines the result on one machine with one
version of torch; elsewhere the last bits of sums differ, and the accuracy may differ by a picture or two.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

HERE = Path(__file__).resolve().parent
HELD_OUT = 360  # of 1,797 pictures
EPOCHS, BATCH, RATE = 60, 64, 0.01

# The moving-average factor of Caffe's BatchNorm after about ten thousand steps with the default fraction of 0.999.
# Mean and variance are stored multiplied by it, as in Caffe: a reader that does not divide by it gets wrong results.
BATCHNORM_FACTOR = 999.98


class ScaleLayer(nn.Module):
    """Caffe's Scale with bias: x[:, c] * gamma[c] + beta[c] for x f32[n,c,h,w]."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(channels))
        self.beta = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gamma[:, None, None] + self.beta[:, None, None]


class Digits(nn.Module):
    """digits.prototxt in torch: from f32[n,1,8,8] in 0..1 to scores f32[n,10], whose softmax is the blob "prob"."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 24, 3, padding=1, bias=False)
        self.conv1_bn, self.conv1_scale = nn.BatchNorm2d(24, affine=False), ScaleLayer(24)
        self.look1 = nn.Conv2d(24, 24, 3, padding=1, bias=False)
        self.look1_bn, self.look1_scale = nn.BatchNorm2d(24, affine=False), ScaleLayer(24)
        self.look2 = nn.Conv2d(24, 24, 3, padding=1, bias=False)
        self.look2.weight = self.look1.weight  # the shared parameter "look"
        self.look2_bn, self.look2_scale = nn.BatchNorm2d(24, affine=False), ScaleLayer(24)
        self.point = nn.Conv2d(24, 16, 1)
        self.around = nn.Conv2d(24, 32, 3, padding=1, bias=False)
        self.around_bn, self.around_scale = nn.BatchNorm2d(32, affine=False), ScaleLayer(32)
        self.drop = nn.Dropout(0.3)
        self.score = nn.Linear(48 * 2 * 2, 10)

    def forward(self, data: Tensor) -> Tensor:
        conv1 = F.relu(self.conv1_scale(self.conv1_bn(self.conv1(data))))
        look1 = F.relu(self.look1_scale(self.look1_bn(self.look1(conv1))))
        look2 = self.look2_scale(self.look2_bn(self.look2(look1)))
        pool1 = F.max_pool2d(F.relu(conv1 + look2), 3, 2, ceil_mode=True)
        point = F.relu(self.point(pool1))
        around = F.relu(self.around_scale(self.around_bn(self.around(pool1))))
        pool2 = F.avg_pool2d(torch.cat([point, around], 1), 3, 2, ceil_mode=True)
        scores: Tensor = self.score(self.drop(pool2).flatten(1))
        return scores


Blobs = Sequence[NDArray[np.float32]]


def to_caffe(module: nn.Module) -> Blobs:
    """The weights of a module as Caffe's blobs for this layer; [] for a module without weights."""
    match module:
        case nn.BatchNorm2d(running_mean=Tensor() as mean, running_var=Tensor() as variance):
            found = [mean * BATCHNORM_FACTOR, variance * BATCHNORM_FACTOR, torch.tensor([BATCHNORM_FACTOR])]
        case _:
            found = list(module.parameters(recurse=False))
    return [t.detach().numpy() for t in found]


def from_caffe(model: nn.Module, layers: Mapping[str, Blobs]) -> None:
    """Fill a model from the blobs of a caffemodel, by layer name. KeyError if the file lacks a layer."""
    for name, module in model.named_children():
        if not to_caffe(module):
            continue
        blobs = [torch.from_numpy(np.array(blob)) for blob in layers[name]]
        with torch.no_grad():
            if isinstance(module, nn.BatchNorm2d):
                mean, variance, factor = blobs
                module.running_mean, module.running_var = mean / factor, variance / factor
            else:
                for parameter, blob in zip(module.parameters(), blobs, strict=True):
                    parameter.copy_(blob)


def load_pictures() -> tuple[Tensor, Tensor]:
    """All pictures, f32[1797,1,8,8] in 0..1 (in scikit-learn 0..16), and labels, i64[1797], shuffled."""
    from sklearn.datasets import load_digits

    data, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(data))
    scaled = (data[order] / 16).astype(np.float32).reshape(-1, 1, 8, 8)
    return torch.from_numpy(scaled), torch.from_numpy(labels[order].astype(np.int64))


def shift_randomly(batch: Tensor) -> Tensor:
    """Data augmentation: shift each picture by at most one pixel along each axis."""
    around = F.pad(batch, (1, 1, 1, 1))
    places = torch.randint(3, (len(batch), 2)).tolist()
    return torch.stack([p[:, y : y + 8, x : x + 8] for p, (y, x) in zip(around, places, strict=True)])


def train(model: Digits, x: Tensor, labels: Tensor) -> None:
    steps = EPOCHS * math.ceil(len(x) / BATCH)
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=steps)
    model.train()
    for epoch in range(EPOCHS):
        total = 0.0
        for batch in torch.randperm(len(x)).split(BATCH):
            loss = F.cross_entropy(model(shift_randomly(x[batch])), labels[batch], label_smoothing=0.05)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item() * len(batch)
        if (epoch + 1) % 10 == 0:
            print(f"epoch {epoch + 1:2}: loss {total / len(x):.4f}")
    model.eval()


def write_caffemodel(model: Digits, folder: Path) -> None:
    """Write digits.caffemodel: every layer of digits.prototxt in order, shared parameters in each, as Caffe does."""
    from cortado.frontends.files import caffemodel, prototxt

    net = prototxt.read(HERE / "digits.prototxt")
    modules = dict(model.named_children())
    layers = [
        caffemodel.WrittenLayer(
            name=layer["name"],
            type=layer["type"],
            blobs=to_caffe(modules.get(layer["name"], nn.Identity())),
            bottoms=layer["bottom"],
            tops=layer["top"],
        )
        for layer in net["layer"]
    ]
    caffemodel.write(folder / "digits.caffemodel", net["name"], layers)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=HERE, help="folder to write to (default: this one)")
    folder: Path = parser.parse_args().out

    torch.manual_seed(0)
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    x, labels = load_pictures()
    model = Digits()
    train(model, x[:-HELD_OUT], labels[:-HELD_OUT])
    x, labels = x[-HELD_OUT:], labels[-HELD_OUT:]
    with torch.inference_mode():
        correct = int((model(x).argmax(1) == labels).sum())
    print(f"{correct} of {HELD_OUT} held-out pictures are read correctly: {correct / HELD_OUT:.2%}")

    write_caffemodel(model, folder)
    np.savez_compressed(folder / "pictures.npz", pictures=x.numpy(), labels=labels.numpy())
    expected = {"correct": correct, "accuracy": correct / HELD_OUT}
    (folder / "expected.json").write_text(json.dumps(expected, indent=2) + "\n")


if __name__ == "__main__":
    main()
