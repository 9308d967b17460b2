"""IM-NET's autoencoder (Chen, Zhang 2019, improved version): voxel encoder, implicit decoder."""
import torch
from torch import nn
from torch.nn import functional

from tests.benchmarks.peers import common


class Encoder(nn.Module):
    """Five convolutions of 4^3, instance norm after the first four: [S, 1, 64^3] to [S, 256]."""

    def __init__(self, width=32, code=256):
        super().__init__()
        layers, before = [], 1
        for number in range(4):
            size = width * 2 ** number
            layers += [nn.Conv3d(before, size, 4, 2, 1), nn.InstanceNorm3d(size, affine=True),
                       nn.LeakyReLU(0.02)]
            before = size
        self.layers = nn.Sequential(*layers, nn.Conv3d(before, code, 4))

    def forward(self, voxels):
        """Encodes grids."""
        return torch.sigmoid(self.layers(voxels)).flatten(1)


class Decoder(nn.Module):
    """Seven dense layers on points with the code beside each."""

    def __init__(self, width=128, code=256):
        super().__init__()
        sizes = [3 + code] + [width * factor for factor in (8, 8, 8, 4, 2, 1)]
        self.hidden = nn.ModuleList(nn.Linear(*pair) for pair in zip(sizes, sizes[1:]))
        self.last = nn.Linear(sizes[-1], 1)

    def forward(self, points, codes):
        """Values [S, N, 1] at points [S, N, 3] of codes [S, code]."""
        hidden = torch.cat([points, codes[:, None].expand(-1, points.shape[1], -1)], dim=2)
        for layer in self.hidden:
            hidden = functional.leaky_relu(layer(hidden), 0.02)
        return self.last(hidden).clamp(0., 1.)


class Network(nn.Module):
    """Both."""

    def __init__(self):
        super().__init__()
        self.encoder, self.decoder = Encoder(), Decoder()

    def forward(self, voxels, points):
        """Values at points of the shapes in grids."""
        return self.decoder(points, self.encoder(voxels))


def _voxels():
    return (torch.rand(1, 1, 64, 64, 64) < 0.1).float()


def step(points):
    """A training step on one shape and `points` points."""
    network, voxels = Network(), _voxels()
    places, values = torch.rand(1, points, 3) - 0.5, (torch.rand(1, points, 1) < 0.3).float()
    optimizer = torch.optim.Adam(network.parameters(), lr=5e-5, betas=(0.5, 0.999))
    return common.stepper(
        network, lambda net: functional.mse_loss(net(voxels, places), values), optimizer)


def encoding():
    """Encodes one shape."""
    return common.predictor(Encoder(), _voxels())


def field(points, points_per_run=4096):
    """Evaluates the field of a code at `points` points, so many at a time."""
    network, codes = Decoder().eval(), torch.rand(1, 256)
    parts = (torch.rand(1, points, 3) - 0.5).split(points_per_run, dim=1)

    def job():
        with torch.inference_mode():
            return torch.cat([network(part, codes) for part in parts], dim=1)

    return job
