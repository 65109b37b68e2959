"""Search spaces and their architectures; numpy only, so that a search never waits for torch."""

from evernas.spaces.api import Architecture, Choice, SearchSpace
from evernas.spaces.categorical import Categorical
from evernas.spaces.convolutional import ConvolutionalSpace
from evernas.spaces.image import ImageSpace
from evernas.spaces.layers import BlockSpec, LayerSpec, TextBlockSpec
from evernas.spaces.network import NetworkSpace
from evernas.spaces.signal import SignalSpace
from evernas.spaces.text import TextSpace
from evernas.spaces.translation import all_translated, in_both, same_network, translated

__all__ = [
    "Architecture", "BlockSpec", "Categorical", "Choice", "ConvolutionalSpace", "ImageSpace", "LayerSpec",
    "NetworkSpace", "SearchSpace", "SignalSpace", "TextBlockSpec", "TextSpace", "all_translated", "in_both",
    "same_network", "translated",
]  # fmt: skip
