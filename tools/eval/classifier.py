# SPDX-License-Identifier: Apache-2.0
"""A small network that names subject and style: classifier.py CACHE OUT [--samples N]. What it says of real pictures that it never saw is the
ceiling of what it can say of drawn ones."""
import argparse
import json
import pathlib

import numpy as np
import torch
from torch import nn

import scenes

SIDE, BATCH = 64, 96


class Block(nn.Module):
    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.main = nn.Sequential(nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(),
                                  nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False), nn.BatchNorm2d(outputs))
        self.skip = nn.Sequential(nn.AvgPool2d(stride, ceil_mode=True), nn.Conv2d(inputs, outputs, 1, bias=False))

    def forward(self, x):
        return torch.relu(self.main(x) + self.skip(x))


class Classifier(nn.Module):
    """float [batch, 3, 64, 64] in −1 … 1 to features [batch, 256], and logits of subjects and styles."""

    def __init__(self, subjects, styles):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 32, 3, 2, 1), nn.ReLU(), Block(32, 64, 1), Block(64, 128, 2), Block(128, 192, 2),
                                  Block(192, 256, 2), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.subject, self.style = nn.Linear(256, subjects), nn.Linear(256, styles)

    def forward(self, x):
        features = self.body(x)
        return features, self.subject(features), self.style(features)


def to_input(pictures):
    """uint8 [batch, side, side, 3] of 128 pixels."""
    x = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float() / 127.5 - 1
    return nn.functional.avg_pool2d(x, 2)


def batch_of(picks, rows, pictures, nouns, rng):
    images = [scenes.scene(rows[i], pictures, rng) for i in picks]
    subjects = torch.tensor([nouns.index(rows[i]["noun"]) for i in picks])
    styles = torch.tensor([scenes.STYLES.index(rows[i]["style"]) if rows[i]["style"] in scenes.STYLES else -1 for i in picks])
    return to_input(images), subjects, styles


def load(path):
    saved = torch.load(path, weights_only=True)
    model = Classifier(len(saved["nouns"]), len(scenes.STYLES))
    model.load_state_dict(saved["state"])
    return model.eval(), saved["nouns"], saved["ceiling"]


def ceiling(model, rows, pictures, nouns, samples):
    """Accuracy on real scenes with new sizes, places, colours and backgrounds, of a drawing at a time."""
    rng = np.random.default_rng(77)
    model.eval()
    right, styled = [], []
    candidates = [i for i, row in enumerate(rows) if row["style"] in scenes.STYLES]
    with torch.no_grad():
        for _ in range(samples // BATCH):
            x, subject, style = batch_of(rng.choice(candidates, BATCH), rows, pictures, nouns, rng)
            _, said, how = model(x)
            right += (said.argmax(1) == subject).tolist()
            styled += (how.argmax(1) == style).tolist()
    return {"subject": float(np.mean(right)), "style": float(np.mean(styled)), "pictures": len(right)}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("cache")
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--samples", type=int, default=250_000)
    a = parser.parse_args()
    torch.manual_seed(1)
    pictures, rows, nouns = scenes.load(a.cache)
    model = Classifier(len(nouns), len(scenes.STYLES)).to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(model.parameters(), 2e-3, weight_decay=0.02)
    steps = a.samples // BATCH
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, steps, pct_start=0.1)
    rng = np.random.default_rng(1)
    for step in range(steps):
        x, subject, style = batch_of(rng.integers(len(rows), size=BATCH), rows, pictures, nouns, rng)
        with torch.autocast("cpu", torch.bfloat16):
            _, said, how = model(x.contiguous(memory_format=torch.channels_last))
        loss = nn.functional.cross_entropy(said.float(), subject, label_smoothing=0.05)
        loss = loss + 0.5 * nn.functional.cross_entropy(how.float(), style, ignore_index=-1)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 100 == 99:
            print(f"limn: classifier {step + 1} of {steps}, loss {loss.item():.3f}", flush=True)
    found = ceiling(model, rows, pictures, nouns, 4000)
    torch.save({"state": model.state_dict(), "nouns": nouns, "ceiling": found}, a.out)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
