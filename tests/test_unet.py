"""The U-Net: layers as in the public checkpoint, and the same numbers as written out by hand."""

from __future__ import annotations

import oracle
import pytest
import torch

from vs_slomo.model.unet import MULTIPLE, Convolution, Down, UNet, Up


def parameters(net, prefix="net"):
    return {f"{prefix}.{name}": p.detach().double().numpy() for name, p in net.named_parameters()}


@pytest.mark.parametrize("last_activation", [True, False])
@pytest.mark.parametrize(("width", "channels"), [(1, (6, 4)), (8, (6, 4)), (16, (20, 5))])
def test_oracle(width, channels, last_activation):
    torch.manual_seed(width)
    net = UNet(*channels, width, last_activation=last_activation)
    x = torch.rand(1, channels[0], 32, 64) - 0.5
    with torch.no_grad():
        out = net(x)[0].numpy()
    expected = oracle.unet(x[0].double().numpy(), parameters(net), "net", last_activation=last_activation)
    assert abs(out - expected).max() < 1e-5
    assert expected.std() > 1e-3


def test_layers_are_those_of_the_public_checkpoint():
    net = UNet(6, 4)
    shapes = {name: tuple(p.shape) for name, p in net.state_dict().items() if name.endswith("weight")}
    assert shapes == {
        "conv1.weight": (32, 6, 7, 7),
        "conv2.weight": (32, 32, 7, 7),
        "down1.conv1.weight": (64, 32, 5, 5),
        "down1.conv2.weight": (64, 64, 5, 5),
        "down2.conv1.weight": (128, 64, 3, 3),
        "down2.conv2.weight": (128, 128, 3, 3),
        "down3.conv1.weight": (256, 128, 3, 3),
        "down3.conv2.weight": (256, 256, 3, 3),
        "down4.conv1.weight": (512, 256, 3, 3),
        "down4.conv2.weight": (512, 512, 3, 3),
        "down5.conv1.weight": (512, 512, 3, 3),
        "down5.conv2.weight": (512, 512, 3, 3),
        "up1.conv1.weight": (512, 512, 3, 3),
        "up1.conv2.weight": (512, 1024, 3, 3),
        "up2.conv1.weight": (256, 512, 3, 3),
        "up2.conv2.weight": (256, 512, 3, 3),
        "up3.conv1.weight": (128, 256, 3, 3),
        "up3.conv2.weight": (128, 256, 3, 3),
        "up4.conv1.weight": (64, 128, 3, 3),
        "up4.conv2.weight": (64, 128, 3, 3),
        "up5.conv1.weight": (32, 64, 3, 3),
        "up5.conv2.weight": (32, 64, 3, 3),
        "conv3.weight": (4, 32, 3, 3),
    }
    assert net.state_dict().keys() == {n for w in shapes for n in (w, w.replace("weight", "bias"))}


def test_last_activation_squeezes_what_is_negative():
    torch.manual_seed(0)
    net = UNet(6, 4, 4, last_activation=False)
    x = torch.rand(1, 6, 32, 32)
    with torch.no_grad():
        plain = net(x)
        net.last_activation = True
        squeezed = net(x)
    assert (plain < 0).any()
    assert torch.equal(squeezed, torch.where(plain < 0, plain * 0.1, plain))


def test_the_skip_comes_second():
    """In the public checkpoint the skip's channels follow those from below."""
    up = Up(4, 2)
    with torch.no_grad():
        up.conv2.weight[:, :2] = 0
        x, skip = torch.rand(1, 4, 4, 4), torch.rand(1, 2, 8, 8)
        assert torch.equal(up(x, skip), up(x + 1, skip))
        assert not torch.equal(up(x, skip), up(x, skip + 1))


def test_sizes():
    assert Down(3, 5, 3)(torch.rand(2, 3, 8, 6)).shape == (2, 5, 4, 3)
    assert Up(4, 2)(torch.rand(1, 4, 3, 5), torch.rand(1, 2, 6, 10)).shape == (1, 2, 6, 10)
    for kernel in (3, 5, 7):
        assert Convolution(2, 3, kernel)(torch.rand(1, 2, 9, 8)).shape == (1, 3, 9, 8)
    net = UNet(6, 4, 1)
    assert net(torch.rand(2, 6, MULTIPLE, 3 * MULTIPLE)).shape == (2, 4, MULTIPLE, 3 * MULTIPLE)
