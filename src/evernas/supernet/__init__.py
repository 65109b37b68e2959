"""The weight-sharing supernet: training, warm start, extraction, calibration, fine-tuning and states."""

from evernas.supernet.data import TrainingData
from evernas.supernet.elastic import ElasticNetwork, PlainNetwork
from evernas.supernet.finetuning import finetune
from evernas.supernet.making import initial, supernet_of
from evernas.supernet.network import Supernet
from evernas.supernet.states import load_state, save_state, state_digest
from evernas.supernet.subnet import Subnet, calibrate, evaluate, extract, predict
from evernas.supernet.texts import TextData
from evernas.supernet.training import Diverged, train
from evernas.supernet.warmstart import warm_start

__all__ = [
    "Diverged", "ElasticNetwork", "PlainNetwork", "Subnet", "Supernet", "TextData", "TrainingData", "calibrate",
    "evaluate", "extract", "finetune", "initial", "load_state", "predict", "save_state", "state_digest", "supernet_of",
    "train", "warm_start",
]  # fmt: skip
