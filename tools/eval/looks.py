# SPDX-License-Identifier: Apache-2.0
"""What can be told of a picture without a network: background, colour and number of things on it. [128, 128, 3] uint8 in."""
import numpy as np
from scipy import ndimage

import compose

LEAST_SHARE = 0.012  # of the picture, for a thing to count
FAR = 18             # from the background, in CIELAB


def nearest_colours(rgb):
    lab = compose.to_lab(rgb)
    return ((lab[..., None, :] - compose.PALETTE) ** 2).sum(-1).argmin(-1)


def border(picture):
    return np.concatenate([picture[:4].reshape(-1, 3), picture[-4:].reshape(-1, 3), picture[:, :4].reshape(-1, 3), picture[:, -4:].reshape(-1, 3)])


def background(picture):
    """(name, colour): of the border's commonest colour."""
    names = nearest_colours(border(picture))
    best = int(np.bincount(names, minlength=len(compose.NAMES)).argmax())
    return compose.NAMES[best], np.median(border(picture)[names == best], 0)


def foreground(picture):
    _, colour = background(picture)
    return np.linalg.norm(compose.to_lab(picture) - compose.to_lab(colour), axis=-1) > FAR


def things(picture):
    """Connected parts of the foreground that are large enough; gaps of two pixels are closed."""
    labels, n = ndimage.label(ndimage.binary_closing(np.pad(foreground(picture), 3), iterations=2)[3:-3, 3:-3], np.ones((3, 3)))
    return [labels == i for i in range(1, n + 1) if (labels == i).mean() >= LEAST_SHARE]


def colour_shares(picture):
    """Share of each colour's name among the foreground's pixels."""
    mask = foreground(picture)
    if mask.sum() < 50:
        return {}
    counts = np.bincount(nearest_colours(picture[mask]), minlength=len(compose.NAMES))
    return {name: float(share) for name, share in zip(compose.NAMES, counts / counts.sum())}


def dominant(picture):
    """Among colours that have a hue; outlines, whites of eyes and shadows do not speak."""
    shares = colour_shares(picture)
    hued = {name: share for name, share in shares.items() if name not in ("white", "black", "gray", "beige")}
    return max(hued, key=hued.get) if hued and max(hued.values()) > 0.1 else max(shares, key=shares.get, default=None)
