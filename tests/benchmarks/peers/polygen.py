"""PolyGen (Nash et al. 2020): decoder of vertices, encoder of vertices, decoder of faces.

The sequences of a batch are concatenated, so that nothing is computed for padding; attention takes
one sequence at a time.
"""
import torch
from torch import nn
from torch.nn import functional

from tests.benchmarks.peers import common


class Attention(nn.Module):
    """Multi-head attention of each sequence of queries [n, h] to its own of a memory [m, h]."""

    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width, bias=False)
        self.memory = nn.Linear(width, 2 * width, bias=False)
        self.output = nn.Linear(width, width, bias=False)

    def _split(self, x):
        return x.unflatten(1, (self.heads, -1)).transpose(0, 1)

    def forward(self, x, lengths, memory, memory_lengths, causal):
        """Returns [n, h]."""
        keys, values = [part.split(memory_lengths) for part in self.memory(memory).chunk(2, dim=1)]
        outputs = [functional.scaled_dot_product_attention(
            *[self._split(part)[None] for part in parts], is_causal=causal)[0]
            for parts in zip(self.query(x).split(lengths), keys, values)]
        return self.output(torch.cat([part.transpose(0, 1).flatten(1) for part in outputs]))


class Layer(nn.Module):
    """Branches with layer norm before and dropout behind, scaled by ReZero's factors."""

    def __init__(self, width, hidden, heads, dropout, crosses):
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(3 if crosses else 2))
        self.alphas = nn.Parameter(torch.full([3], 0.1))
        self.own = Attention(width, heads)
        self.cross = Attention(width, heads) if crosses else None
        self.mlp = nn.Sequential(nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, width))
        self.dropout = nn.Dropout(dropout)

    def forward(self, x, lengths, causal, memory=None, memory_lengths=None):
        """Returns [n, h]."""
        y = self.norms[0](x)
        x = x + self.dropout(self.alphas[0] * self.own(y, lengths, y, lengths, causal))
        if self.cross is not None:
            y = self.cross(self.norms[2](x), lengths, memory, memory_lengths, False)
            x = x + self.dropout(self.alphas[2] * y)
        return x + self.dropout(self.alphas[1] * self.mlp(self.norms[1](x)))


class Stack(nn.Module):
    """Layers and a last norm."""

    def __init__(self, layers, *sizes):
        super().__init__()
        self.layers = nn.ModuleList(Layer(*sizes) for _ in range(layers))
        self.norm = nn.LayerNorm(sizes[0])

    def forward(self, x, *rest):
        """Returns [n, h]."""
        for layer in self.layers:
            x = layer(x, *rest)
        return self.norm(x)


def _places(lengths):
    return torch.cat([torch.arange(length) for length in lengths])


class VertexModel(nn.Module):
    """p(vertices): coordinates as tokens, 8 bits."""

    def __init__(self, layers, width, *sizes, symbols=257):
        super().__init__()
        self.values, self.axes = nn.Embedding(symbols, width), nn.Embedding(3, width)
        self.numbers = nn.Embedding(2500, width)
        self.decoder = Stack(layers, width, *sizes, False)
        self.logits = nn.Linear(width, symbols)

    def forward(self, tokens, lengths):
        """Sum of the negative log-likelihoods of tokens int [n]."""
        places = _places(lengths)
        x = self.values(tokens.roll(1)) + self.axes(places % 3) + self.numbers(places // 3)
        return functional.cross_entropy(self.logits(self.decoder(x, lengths, True)), tokens,
                                        reduction='sum')


class FaceModel(nn.Module):
    """p(faces | vertices): pointers to encoded vertices."""

    def __init__(self, encoder_layers, layers, width, *sizes):
        super().__init__()
        self.coordinates = nn.ModuleList(nn.Embedding(256, width) for _ in range(3))
        self.positions = nn.Embedding(8000, width)
        self.encoder = Stack(encoder_layers, width, *sizes, False)
        self.decoder = Stack(layers, width, *sizes, True)
        self.pointers = nn.Linear(width, width)

    def forward(self, vertices, counts, tokens, lengths):
        """Sum of the negative log-likelihoods of tokens int [n], vertices int [m, 3]."""
        embedded = sum(table(vertices[:, axis]) for axis, table in enumerate(self.coordinates))
        targets = self.encoder(embedded, counts, False)
        starts = torch.tensor([0] + counts[:-1]).cumsum(0).repeat_interleave(torch.tensor(lengths))
        x = targets[tokens.roll(1) % starts.new_tensor(min(counts)) + starts]
        x = x + self.positions(_places(lengths))
        pointers = self.pointers(self.decoder(x, lengths, True, targets, counts))
        logits = [p @ t.t() / t.shape[1] ** 0.5 for p, t in zip(pointers.split(lengths),
                                                                 targets.split(counts))]
        return sum(functional.cross_entropy(one, labels, reduction='sum')
                   for one, labels in zip(logits, tokens.split(lengths)))


class Both(nn.Module):
    """The two models side by side."""

    def __init__(self, layers, sizes, batch):
        super().__init__()
        self.lengths, self.counts, self.tokens = (
            batch[name] for name in ('vertex_tokens', 'targets', 'face_tokens'))
        self.vertices, self.faces = VertexModel(layers[0], *sizes), FaceModel(*layers[1:], *sizes)
        self.coordinates = torch.randint(256, (sum(self.counts), 3))
        self.sequences = (torch.randint(257, (sum(self.lengths),)),
                          torch.cat([torch.randint(most, (length,)) for most, length in zip(
                              self.counts, self.tokens)]))

    def loss(self):
        """Sum of both losses."""
        return self.vertices(self.sequences[0], self.lengths) + self.faces(
            self.coordinates, self.counts, self.sequences[1], self.tokens)


def step(batch, layers, width, hidden, heads, dropout):
    """A training step of both models; `batch` has the lengths of the sequences."""
    network = Both(layers, (width, hidden, heads, dropout), batch)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-5)
    return common.stepper(network, Both.loss, optimizer)
