"""3D-LSTM-3 and 3D-LSTM-1: the shallow networks with long short-term memory, no output gate."""
from r2n2.models import net


class LSTM3Net(net.Net):
    """Shallow encoder and decoder, memory units with 3 x 3 x 3 kernels."""

    paper_name = '3D-LSTM-3'
    recurrence = 'lstm'


class LSTM1Net(net.Net):
    """The same with 1 x 1 x 1 kernels in the recurrence."""

    paper_name = '3D-LSTM-1'
    recurrence = 'lstm'
    recurrent_kernel = 1
