"""3D-GRU-3 (the original's GRUNet) and 3D-GRU-1: the shallow networks with gated units."""
from r2n2.models import net


class GRUNet(net.Net):
    """Shallow encoder and decoder, gated recurrent units with 3 x 3 x 3 kernels."""

    paper_name = '3D-GRU-3'


class GRU1Net(net.Net):
    """The same with 1 x 1 x 1 kernels in the recurrence."""

    paper_name = '3D-GRU-1'
    recurrent_kernel = 1
