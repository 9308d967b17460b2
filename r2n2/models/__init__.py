"""The five variants of the paper by name; see `net.Net` for what they share."""
from typing import Optional, Type

from r2n2.models import net
from r2n2.models.gru_net import GRU1Net, GRUNet
from r2n2.models.lstm_net import LSTM1Net, LSTM3Net
from r2n2.models.res_gru_net import ResidualGRUNet

MODELS = (LSTM1Net, GRU1Net, LSTM3Net, GRUNet, ResidualGRUNet)


def load_model(name: str) -> Optional[Type[net.Net]]:
    """Returns the class of a network.

    Args:
      name: str, of the class or of the paper, in any case, e.g. 'ResidualGRUNet', '3D-GRU-3'.
    Returns:
      class, or None where there is no such network.
    """
    for model in MODELS:
        if name.lower() in (model.__name__.lower(), model.paper_name.lower()):
            return model
    return None
