"""Res3D-GRU-3 (the original's ResidualGRUNet), the network whose weights were released."""
from r2n2.models import net


class ResidualGRUNet(net.Net):
    """Residual encoder and decoder, gated recurrent units with 3 x 3 x 3 kernels."""

    paper_name = 'Res3D-GRU-3'
    residual = True
