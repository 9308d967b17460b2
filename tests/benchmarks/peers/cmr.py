"""CMR (Kolotouros et al. 2019): ResNet-50, graph network, regressor and body model.

The mesh is a random one with as many nodes, neighbours and vertices as the real one.
"""
import math

import torch
from torch import nn
from torch.nn import functional

from tests.benchmarks.peers import common

_JOINTS = 24


class Bottleneck(nn.Module):
    """A residual block of ResNet-50 (He et al. 2016), its stride in the 3 x 3 convolution."""

    def __init__(self, inputs, planes, stride):
        super().__init__()
        outputs = 4 * planes
        self.inner = nn.Sequential(
            nn.Conv2d(inputs, planes, 1, bias=False), nn.BatchNorm2d(planes), nn.ReLU(),
            nn.Conv2d(planes, planes, 3, stride, 1, bias=False), nn.BatchNorm2d(planes), nn.ReLU(),
            nn.Conv2d(planes, outputs, 1, bias=False), nn.BatchNorm2d(outputs))
        self.shortcut = nn.Identity() if inputs == outputs else nn.Sequential(
            nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x):
        return functional.relu(self.inner(x) + self.shortcut(x))


def resnet50(width=64):
    """Pictures [B, 3, 224, 224] to features [B, 32 width]."""
    layers = [nn.Conv2d(3, width, 7, 2, 3, bias=False), nn.BatchNorm2d(width), nn.ReLU(),
              nn.MaxPool2d(3, 2, 1)]
    before = width
    for number, blocks in enumerate((3, 4, 6, 3)):
        for block in range(blocks):
            planes = width * 2 ** number
            layers.append(Bottleneck(before, planes, 2 if number and not block else 1))
            before = 4 * planes
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())


def _random_sparse(rows, columns, entries):
    places = torch.stack([torch.arange(rows).repeat_interleave(entries),
                          torch.randint(columns, (rows * entries,))])
    values = torch.full([rows * entries], 1. / entries)
    return torch.sparse_coo_tensor(places, values, [rows, columns]).coalesce().to_sparse_csr()


def _multiply(matrix, x):
    """[M, N] times each of [B, N, C]."""
    batch, nodes, channels = x.shape
    columns = x.transpose(0, 1).reshape(nodes, batch * channels)
    return (matrix @ columns).reshape(-1, batch, channels).transpose(0, 1)


class _Adjacency(torch.autograd.Function):
    """Product with a sparse matrix; its gradient is that with the transpose."""

    @staticmethod
    def forward(ctx, x, matrix, transpose):
        ctx.transpose = transpose
        return _multiply(matrix, x)

    @staticmethod
    def backward(ctx, upstream):
        return _multiply(ctx.transpose, upstream), None, None


class Sparse(nn.Module):
    """A sparse matrix and its transpose."""

    def __init__(self, rows, columns, entries):
        super().__init__()
        matrix = _random_sparse(rows, columns, entries)
        self.matrix, self.transpose = matrix, matrix.to_dense().t().to_sparse_csr()

    def forward(self, x):
        return _Adjacency.apply(x, self.matrix, self.transpose)


class GroupNorm(nn.GroupNorm):
    """Over [B, N, C]."""

    def forward(self, x):
        return super().forward(x.transpose(1, 2)).transpose(1, 2)


class GraphConvolution(nn.Module):
    """A X W + b."""

    def __init__(self, channels, adjacency):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(channels, channels) / math.sqrt(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.adjacency = adjacency

    def forward(self, x):
        return self.adjacency(x @ self.weight) + self.bias


class GraphResBlock(nn.Module):
    """Linear layer, graph convolution, linear layer, each after group norm and ReLU."""

    def __init__(self, inputs, outputs, adjacency):
        super().__init__()
        inner = outputs // 2
        self.inner = nn.Sequential(
            GroupNorm(inputs // 8, inputs), nn.ReLU(), nn.Linear(inputs, inner),
            GroupNorm(inner // 8, inner), nn.ReLU(), GraphConvolution(inner, adjacency),
            GroupNorm(inner // 8, inner), nn.ReLU(), nn.Linear(inner, outputs))
        self.shortcut = nn.Identity() if inputs == outputs else nn.Linear(inputs, outputs)

    def forward(self, x):
        return self.inner(x) + self.shortcut(x)


def _dense_block(inputs, outputs):
    return nn.Sequential(nn.Linear(inputs, outputs), nn.BatchNorm1d(outputs), nn.ReLU())


class _DenseResBlock(nn.Module):
    def __init__(self, size):
        super().__init__()
        self.inner = nn.Sequential(*_dense_block(size, size), nn.Linear(size, size),
                                   nn.BatchNorm1d(size))

    def forward(self, x):
        return functional.relu(x + self.inner(x))


class Body(nn.Module):
    """Linear blend skinning (Loper et al. 2015) with random arrays."""

    def __init__(self, vertices):
        super().__init__()
        self.template, self.shapes = torch.rand(vertices, 3), torch.rand(vertices * 3, 10)
        self.bends, self.weights = torch.rand(vertices * 3, 207), torch.rand(vertices, _JOINTS)
        self.joint_regressor = torch.rand(_JOINTS, vertices) / vertices
        self.parents = [max(0, joint - 3) for joint in range(1, _JOINTS)]

    def forward(self, rotations, betas):
        """Vertices [B, V, 3] of rotations [B, 24, 3, 3] and betas [B, 10]."""
        batch = len(betas)
        shaped = self.template + (betas @ self.shapes.t()).reshape(batch, -1, 3)
        joints = self.joint_regressor @ shaped
        bends = (rotations[:, 1:] - torch.eye(3)).reshape(batch, -1)
        posed = shaped + (bends @ self.bends.t()).reshape(batch, -1, 3)
        turns, places = [rotations[:, 0]], [joints[:, 0]]
        for joint, parent in enumerate(self.parents, 1):
            offset = (joints[:, joint] - joints[:, parent])[:, :, None]
            places.append(places[parent] + (turns[parent] @ offset)[:, :, 0])
            turns.append(turns[parent] @ rotations[:, joint])
        turns, places = torch.stack(turns, 1), torch.stack(places, 1)
        shifts = places - (turns @ joints[..., None])[..., 0]
        motions = torch.cat([turns, shifts[..., None]], dim=3).reshape(batch, _JOINTS, 12)
        mixed = (self.weights @ motions).reshape(batch, -1, 3, 4)
        return (mixed[..., :3] @ posed[..., None])[..., 0] + mixed[..., 3]

    def joints(self, vertices):
        """Joints [B, 24, 3] of vertices."""
        return self.joint_regressor @ vertices


class Network(nn.Module):
    """Picture to the bodies of graph network and regressor."""

    def __init__(self, nodes, vertices, entries, width=64, channels=256, blocks=5):
        super().__init__()
        adjacency = Sparse(nodes, nodes, entries)
        self.up, self.body = Sparse(vertices, nodes, 3), Body(vertices)
        self.encoder, self.template = resnet50(width), torch.rand(1, nodes, 3)
        sizes = 2 * channels, channels
        self.graph = nn.Sequential(
            nn.Linear(3 + 32 * width, sizes[0]), GraphResBlock(*sizes, adjacency),
            *[GraphResBlock(channels, channels, adjacency) for _ in range(blocks)])
        self.shape = nn.Sequential(
            GraphResBlock(channels, 64, adjacency), GraphResBlock(64, 32, adjacency),
            GroupNorm(4, 32), nn.ReLU(), nn.Linear(32, 3))
        self.camera_points = nn.Sequential(GroupNorm(channels // 8, channels), nn.ReLU(),
                                           nn.Linear(channels, 1), nn.ReLU())
        self.camera = nn.Linear(nodes, 3)
        self.regressor = nn.Sequential(
            _dense_block(6 * nodes, 1024), _DenseResBlock(1024), _DenseResBlock(1024),
            nn.Linear(1024, 9 * _JOINTS + 10))

    def forward(self, images):
        """(vertices, camera, rotations, betas, vertices of the regressor) of pictures."""
        batch = len(images)
        template = self.template.expand(batch, -1, -1)
        features = self.encoder(images)[:, None].expand(-1, template.shape[1], -1)
        x = self.graph(torch.cat([template, features], dim=2))
        points, camera = self.shape(x), self.camera(self.camera_points(x).flatten(1))
        raw = self.regressor(torch.cat([points.detach(), template], dim=2).flatten(1))
        matrices, betas = raw[:, :9 * _JOINTS].reshape(-1, 3, 3), raw[:, 9 * _JOINTS:]
        u, _, v = torch.svd(matrices)
        rotations = u @ v.transpose(1, 2)
        rotations = rotations * torch.det(rotations).sign()[:, None, None]
        rotations = rotations.reshape(batch, _JOINTS, 3, 3)
        return self.up(points), camera, rotations, betas, self.body(rotations, betas)


def _loss(network, images, truth):
    vertices, camera, rotations, betas, of_body = network(images)
    total = functional.mse_loss(rotations, truth['rotations']) + 0.1 * functional.mse_loss(
        betas, truth['betas'])
    with torch.no_grad():
        real = network.body(truth['rotations'], truth['betas'])
    for points, view in ((vertices, camera), (of_body, camera.detach())):
        joints = network.body.joints(points)
        projected = view[:, None, :1] * (joints[..., :2] + view[:, None, 1:])
        total = total + functional.l1_loss(points, real) + functional.mse_loss(
            projected, truth['keypoints']) + functional.mse_loss(joints, truth['joints'])
    return total


def _images(batch):
    return torch.randn(batch, 3, 224, 224)


def step(batch, nodes, vertices, entries):
    """A training step of the whole network."""
    network, images = Network(nodes, vertices, entries), _images(batch)
    truth = {'rotations': torch.eye(3).repeat(batch, _JOINTS, 1, 1),
             'betas': torch.rand(batch, 10), 'keypoints': torch.rand(batch, _JOINTS, 2),
             'joints': torch.rand(batch, _JOINTS, 3)}
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-5)
    return common.stepper(network, lambda net: _loss(net, images, truth), optimizer)


def encoder_step(batch):
    """A step of the encoder alone, on the mean of its features."""
    network, images = resnet50(), _images(batch)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-5)
    return common.stepper(network, lambda net: net(images).mean(), optimizer)


def inference(batch, nodes, vertices, entries):
    """Both bodies of pictures."""
    return common.predictor(Network(nodes, vertices, entries), _images(batch))
