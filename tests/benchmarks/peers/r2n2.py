"""3D-GRU-3 and Res3D-GRU-3 (Choy et al. 2016): encoder of views, recurrence, decoder."""
import torch
from torch import nn
from torch.nn import functional

from tests.benchmarks.peers import common

_ENCODER, _FEATURES = (96, 128, 256, 256, 256, 256), 1024
_STATE, _DECODER = 128, (128, 128, 64, 32)


def _leaky(x):
    return functional.leaky_relu(x, 0.01)


def _pool(x):
    return functional.max_pool2d(functional.pad(x, (1, 1 - x.shape[3] % 2, 1, 1 - x.shape[2] % 2),
                                                value=-65504.), 2)


def _unpool(x):
    batch, channels, *sides = x.shape
    y = x.new_zeros([batch, channels] + [2 * side for side in sides])
    y[:, :, ::2, ::2, ::2] = x
    return y


class _Upsampling(nn.Module):
    """Convolution 3^3 of an unpooled volume, as the transposed convolution that it amounts to."""

    def __init__(self, inputs, outputs):
        super().__init__()
        self.layer = nn.ConvTranspose3d(inputs, outputs, 3, 2, 1, output_padding=1)

    def forward(self, x):
        return self.layer(x)


class _Gate(nn.Module):
    def __init__(self):
        super().__init__()
        self.of_state = nn.Conv3d(_STATE, _STATE, 3, padding=1)
        self.of_features = nn.Linear(_FEATURES, _STATE * 64, bias=False)

    def forward(self, state, features):
        return self.of_state(state) + self.of_features(features).reshape(state.shape)


class Network(nn.Module):
    """Images [V, B, 3, 127, 127] to logits [B, 2, 32, 32, 32]."""

    def __init__(self, residual):
        super().__init__()
        self.residual, self.encoder, before = residual, nn.ModuleList(), 3
        for number, width in enumerate(_ENCODER, 1):
            size = 7 if number == 1 else 3
            block = nn.ModuleDict({'a': nn.Conv2d(before, width, size, padding=size // 2)})
            if residual:
                block['b'] = nn.Conv2d(width, width, 3, padding=1)
                if number in (2, 3, 5):
                    block['c'] = nn.Conv2d(before, width, 1)
            self.encoder.append(block)
            before = width
        self.dense = nn.Linear(before * 9, _FEATURES)
        self.update, self.reset, self.new = _Gate(), _Gate(), _Gate()
        self.decoder, before = nn.ModuleList(), _STATE
        for number, width in enumerate(_DECODER, 7):
            up = number < 10
            block = nn.ModuleDict({'a': _Upsampling(before, width) if up else nn.Conv3d(
                before, width, 3, padding=1)})
            if residual:
                block['b'] = nn.Conv3d(width, width, 3, padding=1)
                if number == 9:
                    block['c'] = nn.Conv3d(before, width, 1)
                elif number == 10:
                    block['c'] = nn.Conv3d(width, width, 3, padding=1)
            self.decoder.append(block)
            before = width
        self.last = nn.Conv3d(before, 2, 3, padding=1)

    def encode(self, x):
        """Features [n, 1024] of images [n, 3, 127, 127]."""
        for number, block in enumerate(self.encoder, 1):
            if not self.residual:
                x = _leaky(_pool(block['a'](x)))
                continue
            y = _leaky(block['b'](_leaky(block['a'](x))))
            if number in (2, 3, 5):
                y = y + block['c'](x)
            elif number == 6:
                y = y + x
            x = _pool(y)
        return _leaky(self.dense(x.flatten(1)))

    def decode(self, x):
        """Logits of the state."""
        for number, block in enumerate(self.decoder, 7):
            y = first = _leaky(block['a'](x))
            if self.residual:
                y = _leaky(block['b'](first))
                if number < 9:
                    y = y + _unpool(x)
                elif number == 9:
                    y = y + _unpool(block['c'](x))
                else:
                    y = y + block['c'](first)
            x = y
        return self.last(x)

    def forward(self, images):
        """Logits after the last view."""
        views, batch = images.shape[:2]
        features = self.encode(images.flatten(0, 1)).reshape(views, batch, -1)
        state = features.new_zeros(batch, _STATE, 4, 4, 4)
        for seen in features:
            update = torch.sigmoid(self.update(state, seen))
            reset = torch.sigmoid(self.reset(state, seen))
            new = torch.tanh(self.new(reset * state, seen))
            state = update * state + (1 - update) * new
        return self.decode(state)


def step(residual, batch, views):
    """A training step with Adam and weight decay."""
    network, images = Network(residual), torch.rand(views, batch, 3, 127, 127)
    voxels = (torch.rand(batch, 32, 32, 32) < 0.1).long()
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-5, weight_decay=5e-5)
    return common.stepper(
        network, lambda net: functional.cross_entropy(net(images), voxels), optimizer)


def inference(residual, views):
    """Probabilities of one model."""
    network, images = Network(residual).eval(), torch.rand(views, 1, 3, 127, 127)

    def job():
        with torch.inference_mode():
            return torch.softmax(network(images), dim=1)

    return job
