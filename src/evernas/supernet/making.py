"""Which supernet a space has, and its first weights."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from evernas.spaces import ConvolutionalSpace, NetworkSpace, TextSpace
from evernas.supernet.elastic import ElasticNetwork
from evernas.supernet.network import Supernet
from evernas.supernet.text import TextSupernet


def supernet_of(space: NetworkSpace, state: Mapping[str, Tensor] | None = None) -> ElasticNetwork:
    """A supernet of this space, with the weights of a state if one is given."""
    made: ElasticNetwork
    if isinstance(space, TextSpace):
        made = TextSupernet(space)
    elif isinstance(space, ConvolutionalSpace):
        made = Supernet(space)
    else:
        raise TypeError(f"no supernet of {space.name}")
    if state is not None:
        made.load_state_dict(dict(state))
    return made


def initial(space: NetworkSpace, seed: int) -> dict[str, Tensor]:
    """The state of an untrained supernet; the same for the same seed."""
    net = supernet_of(space)
    net.reset(torch.Generator().manual_seed(seed))
    return {name: tensor.clone() for name, tensor in net.state_dict().items()}
