"""Super SloMo once more, from the paper: float64 numpy, one picture at a time, nothing shared with the package.

It is written to be checked by eye, not to be fast. Pictures and flows are (channels, height, width). A flow's
channel 0 is x to the right, channel 1 is y downwards, in pixels.
"""

from __future__ import annotations

from functools import partial

import numpy as np


def parameters(model):
    """A model's parameters and mean as float64 arrays."""
    state = {name: tensor.detach().double().numpy() for name, tensor in model.state_dict().items()}
    return state | {"mean": model.mean.detach().double().numpy().reshape(3, 1, 1)}


# --- resampling -------------------------------------------------------------------------------------------


def sample(picture, x, y):
    """The picture at positions (x, y), each (H, W): bilinear, the border's value outside."""
    height, width = picture.shape[1:]
    x = np.clip(x, 0, width - 1)
    y = np.clip(y, 0, height - 1)
    left = np.floor(x).astype(int)
    top = np.floor(y).astype(int)
    right = np.minimum(left + 1, width - 1)
    bottom = np.minimum(top + 1, height - 1)
    a, b = x - left, y - top
    upper = (1 - a) * picture[:, top, left] + a * picture[:, top, right]
    lower = (1 - a) * picture[:, bottom, left] + a * picture[:, bottom, right]
    return (1 - b) * upper + b * lower


def warp(picture, flow):
    """g(I, F): what lies where the flow points."""
    height, width = picture.shape[1:]
    y, x = np.mgrid[:height, :width]
    return sample(picture, x + flow[0], y + flow[1])


def keys(x):
    """Keys' kernel at a = -0.75."""
    x, a = abs(x), -0.75
    near = (a + 2) * x**3 - (a + 3) * x**2 + 1
    far = a * (x**3 - 5 * x**2 + 8 * x - 4)
    return np.where(x <= 1, near, np.where(x < 2, far, 0))


def warp_cubic(picture, flow):
    """The same by 4x4 pixels, bicubic."""
    height, width = picture.shape[1:]
    y, x = np.mgrid[:height, :width]
    x, y = x + flow[0], y + flow[1]
    out = np.zeros_like(picture)
    for j in range(-1, 3):
        for i in range(-1, 3):
            column, row = np.floor(x).astype(int) + i, np.floor(y).astype(int) + j
            pixel = picture[:, np.clip(row, 0, height - 1), np.clip(column, 0, width - 1)]
            out += keys(x - column) * keys(y - row) * pixel
    return out


def smooth(picture, size):
    """The mean of size x size pixels around each."""
    border = size // 2
    padded = np.pad(picture, ((0, 0), (border, border), (border, border)), mode="edge")
    height, width = picture.shape[1:]
    rows = np.mean([padded[:, j : j + height] for j in range(size)], axis=0)
    return np.mean([rows[:, :, i : i + width] for i in range(size)], axis=0)


def enlarge(picture, times):
    """Bilinear, pixels as areas: the centre of output pixel i lies at (i + 1/2) / times - 1/2."""
    height, width = picture.shape[1:]
    y, x = np.mgrid[: height * times, : width * times]
    return sample(picture, (x + 0.5) / times - 0.5, (y + 0.5) / times - 0.5)


def resize(picture, high, wide):
    """Bilinear to any size, pixels as areas, without averaging."""
    height, width = picture.shape[1:]
    y, x = np.mgrid[:high, :wide]
    return sample(picture, (x + 0.5) * width / wide - 0.5, (y + 0.5) * height / high - 0.5)


def triangle(size, times):
    """The matrix (size / times, size) that shrinks a line with a triangle of half width `times`."""
    centre = (np.arange(size // times) + 0.5) * times - 0.5
    weight = np.maximum(0, 1 - abs(np.arange(size)[None] - centre[:, None]) / times)
    return weight / weight.sum(axis=1, keepdims=True)


def shrink(picture, times):
    """Both ways."""
    height, width = picture.shape[1:]
    return np.einsum("ih,chw,jw->cij", triangle(height, times), picture, triangle(width, times), optimize=True)


def pad(picture, multiple):
    """At the right and the bottom, the last column and row again."""
    height, width = picture.shape[1:]
    return np.pad(picture, ((0, 0), (0, -height % multiple), (0, -width % multiple)), mode="edge")


# --- the U-Net (section 3.3, figure 4) -----------------------------------------------------------------------


def convolve(x, weight, bias):
    """out[o] = bias[o] + sum over c, i, j of weight[o, c, i, j] x[c, y + i - k//2, x + j - k//2], zeros outside."""
    height, width = x.shape[1:]
    kernel = weight.shape[-1]
    border = kernel // 2
    padded = np.pad(x, ((0, 0), (border, border), (border, border)))
    out = np.zeros((len(weight), height, width)) + bias[:, None, None]
    for i in range(kernel):
        for j in range(kernel):
            out += np.tensordot(weight[:, :, i, j], padded[:, i : i + height, j : j + width], axes=1)
    return out


def leaky(x):
    return np.where(x >= 0, x, 0.1 * x)


def halve(x):
    return (x[:, ::2, ::2] + x[:, 1::2, ::2] + x[:, ::2, 1::2] + x[:, 1::2, 1::2]) / 4


def unet(x, parameters, net, *, last_activation):
    def layer(x, name):
        return convolve(x, parameters[f"{net}.{name}.weight"], parameters[f"{net}.{name}.bias"])

    x = leaky(layer(leaky(layer(x, "conv1")), "conv2"))
    skips = [x]
    for level in range(1, 6):
        x = halve(x)
        x = leaky(layer(x, f"down{level}.conv1"))
        x = leaky(layer(x, f"down{level}.conv2"))
        skips.append(x)
    skips.pop()
    for level in range(1, 6):
        x = enlarge(x, 2)
        x = leaky(layer(x, f"up{level}.conv1"))
        x = np.concatenate([x, skips.pop()])
        x = leaky(layer(x, f"up{level}.conv2"))
    x = layer(x, "conv3")
    return leaky(x) if last_activation else x


# --- Super SloMo (section 3) -----------------------------------------------------------------------------------


def flow(i0, i1, parameters, *, last_activation, levels=1, halvings=0):
    """F01 and F10; what half the size says first, then what is left in the middle, twice where small."""
    look = partial(look_at, parameters=parameters, last_activation=last_activation)
    if levels == 1:
        f01, f10 = look(i0, i1)
    else:
        height, width = (n // 2 for n in i0.shape[1:])
        high, wide = (-(-n // 32) * 32 for n in (height, width))
        small = (resize(halve(i), high, wide) for i in (i0, i1))
        ratio = np.array([2 * width / wide, 2 * height / high])[:, None, None]
        options = {"last_activation": last_activation, "levels": levels - 1, "halvings": halvings + 1}
        f01, f10 = (ratio * enlarge(resize(f, height, width), 2) for f in flow(*small, parameters, **options))
    for _ in range((levels > 1) + (halvings >= 2)):
        more01, more10 = look(warp(i0, (f10 - f01) / 4), warp(i1, (f01 - f10) / 4))
        f01, f10 = f01 + warp(more01, f01 / 2), f10 + warp(more10, f10 / 2)
    return f01, f10


def look_at(i0, i1, parameters, *, last_activation):
    """What the flow network says of two frames."""
    mean = parameters["mean"]
    out = unet(np.concatenate([i0 - mean, i1 - mean]), parameters, "flow_net", last_activation=last_activation)
    return out[0:2], out[2:4]


def around(picture, cells):
    """The mean of cells x cells cells of 8x8 pixels around each pixel."""
    height, width = picture.shape[1:]
    means = np.zeros((len(picture), -(-height // 8), -(-width // 8)))
    for j, i in np.ndindex(*means.shape[1:]):
        means[:, j, i] = picture[:, 8 * j : 8 * j + 8, 8 * i : 8 * i + 8].mean(axis=(1, 2))
    return enlarge(smooth(means, cells), 8)[:, :height, :width]


def agree(warped0, warped1, w, moved, t):
    """Both warps as one by the package's own fusion; w is frame 0's weight, moved the way between the frames."""
    detail0, detail1 = warped0 - smooth(warped0, 7), warped1 - smooth(warped1, 7)
    detail = w * detail0 + (1 - w) * detail1
    shared, power = (around(x.sum(axis=0)[None], 3) for x in (detail0 * detail1, detail**2))
    lost = ((1 - np.clip((shared + 1e-6) / (power + 1e-6), 0, 1)) * 4 * w * (1 - w)) ** 2

    light = around(warped0 - warped1, 7)
    changed = abs(smooth(warped0 - warped1, 7)).mean(axis=0)
    rest = np.clip(2 - abs(moved).max(axis=0), 0, 1) * np.clip((0.02 - changed) / 0.01, 0, 1)
    grain = (int(t <= 0.5) - w) * (warped0 - warped1 - light)
    return w * warped0 + (1 - w) * warped1 - (1 - rest) * lost * detail + rest * grain


def interpolate(frame0, frame1, t, parameters, *, scale=1.0, last_activation=True, levels=1, fusion="paper"):
    """The frame at t, and (F01, F10, final Ft0, final Ft1, V0), the last three at the frames' resolution."""
    times = round(1 / scale)
    height, width = frame0.shape[1:]
    i0, i1 = (shrink(pad(frame, 32 * times), times) for frame in (frame0, frame1))
    mean = parameters["mean"]

    f01, f10 = flow(i0, i1, parameters, last_activation=last_activation, levels=levels)
    ft0 = -(1 - t) * t * f01 + t**2 * f10
    ft1 = (1 - t) ** 2 * f01 - t * (1 - t) * f10
    seen = [i0 - mean, i1 - mean, f01, f10, ft1, ft0, warp(i1 - mean, ft1), warp(i0 - mean, ft0)]
    out = unet(np.concatenate(seen), parameters, "interp_net", last_activation=last_activation)

    ft0 = times * enlarge(ft0 + out[0:2], times)[:, :height, :width]
    ft1 = times * enlarge(ft1 + out[2:4], times)[:, :height, :width]
    v0 = 1 / (1 + np.exp(-enlarge(out[4:5], times)[:, :height, :width]))
    v1 = 1 - v0
    z = (1 - t) * v0 + t * v1
    if fusion == "agreement":
        moving = np.clip((abs(ft1 - ft0).max(axis=0) - 0.125) / 0.125, 0, 1)
        warped = warp_cubic(frame0, moving * ft0), warp_cubic(frame1, moving * ft1)
        frame = agree(*warped, (1 - t) * v0 / z, moving * (ft1 - ft0), t)
        both = np.stack([frame0, frame1])
        frame = np.clip(frame, both.min(axis=(0, 2, 3))[:, None, None], both.max(axis=(0, 2, 3))[:, None, None])
        return frame, (f01, f10, ft0, ft1, v0)
    frame = ((1 - t) * v0 * warp(frame0, ft0) + t * v1 * warp(frame1, ft1)) / z
    return frame, (f01, f10, ft0, ft1, v0)
