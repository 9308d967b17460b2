"""The Variational Shape Learner (Liu, Giles, Ororbia 2018), codes of 10 and 5 times 5."""
import torch
from torch import nn
from torch.nn import functional

from tests.benchmarks.peers import common

_EPSILON = 1e-5


class Network(nn.Module):
    """Encoder of a grid 30^3, a chain of codes, decoder."""

    def __init__(self, global_dim=10, local_dim=5, local_num=5):
        super().__init__()
        hidden = 100 * (local_num + 1)
        self.local_num = local_num
        self.features = nn.Sequential(
            nn.Conv3d(1, 32, 6, 2), nn.ReLU(), nn.Conv3d(32, 64, 5, 2), nn.ReLU(),
            nn.Conv3d(64, 128, 4), nn.ReLU(), nn.Flatten(), nn.Linear(1024, 256), nn.ReLU(),
            nn.Linear(256, 100), nn.ReLU())
        self.global_1, self.global_2 = nn.Linear(global_dim, 100), nn.Linear(100, 100)
        self.local = nn.Sequential(nn.Linear(local_dim, 100), nn.ReLU(), nn.Linear(100, 100),
                                   nn.ReLU())
        self.merge, self.last = nn.Linear(300, 100), nn.Linear(100, 100)
        self.global_mean, self.global_logstd = nn.Linear(100, global_dim), nn.Linear(100,
                                                                                     global_dim)
        self.local_mean, self.local_logstd = nn.Linear(100, local_dim), nn.Linear(100, local_dim)
        self.dense = nn.Sequential(nn.Linear(global_dim + local_num * local_dim, hidden), nn.ReLU(),
                                   nn.Linear(hidden, 1024), nn.ReLU())
        self.decoder = nn.Sequential(
            nn.ConvTranspose3d(128, 64, 4), nn.ReLU(), nn.ConvTranspose3d(64, 32, 5, 2), nn.ReLU(),
            nn.ConvTranspose3d(32, 1, 6, 2), nn.Sigmoid())

    def codes(self, voxels):
        """Returns means and logarithms of standard deviations of all codes, [B, dim] each."""
        features = self.features(voxels)
        means, logstds = [self.global_mean(features)], [self.global_logstd(features)]
        sample = means[0] + logstds[0].exp() * torch.randn_like(means[0])
        first = functional.relu(self.global_1(sample))
        second = functional.relu(self.global_2(first))
        merged = first
        for number in range(self.local_num):
            if number:
                merged = torch.cat([second, features, self.local(sample)], dim=1)
                merged = functional.relu(self.merge(merged))
            hidden = functional.relu(self.last(merged))
            means.append(self.local_mean(hidden))
            logstds.append(self.local_logstd(hidden))
            sample = means[-1] + logstds[-1].exp() * torch.randn_like(means[-1])
        return means, logstds

    def forward(self, voxels):
        """Reconstructs grids [B, 1, 30, 30, 30]."""
        return self.decode(self.codes(voxels)[0])

    def decode(self, means):
        """Decodes codes to grids."""
        hidden = self.dense(torch.cat(means, dim=1))
        return self.decoder(hidden.reshape(-1, 128, 2, 2, 2))

    def loss(self, voxels):
        """Cross-entropy of the reconstruction and KL divergence of the codes."""
        means, logstds = self.codes(voxels)
        made = self.decode(means)
        cross_entropy = -(voxels * torch.log(_EPSILON + made)
                          + (1 - voxels) * torch.log(_EPSILON + 1 - made)).mean()
        divergences = [-0.5 * (1 + 2 * logstd - mean ** 2 - torch.exp(2 * logstd)).sum(1).mean()
                       for mean, logstd in zip(means, logstds)]
        return cross_entropy + 1e-3 * sum(divergences) / len(divergences)


def _voxels(batch):
    return (torch.rand(batch, 1, 30, 30, 30) < 0.1).float()


def step(batch):
    """A training step: Adam, gradients clipped element by element."""
    network, voxels = Network(), _voxels(batch)
    optimizer = torch.optim.Adam(network.parameters(), lr=5e-5)

    def job():
        optimizer.zero_grad()
        network.loss(voxels).backward()
        nn.utils.clip_grad_value_(network.parameters(), 1.)
        optimizer.step()

    return job


def inference(batch):
    """Reconstructs a batch."""
    return common.predictor(Network(), _voxels(batch))
