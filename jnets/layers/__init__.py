"""Linen modules that own parameters and call `jnets.ops`."""

from jnets.layers.conv import Conv, TableConv
from jnets.layers.cost import Cost
from jnets.layers.init import INITS, Init, initialisation
from jnets.layers.linear import RBF, Affine, Dense
from jnets.layers.norm import BatchNorm, LocalResponseNorm
from jnets.layers.policy import Policy
from jnets.layers.pool import GlobalPool, Pool, Subsample
from jnets.layers.recurrent import GRU, LSTM, RNN, RecurrentState
from jnets.layers.unit import Unit

__all__ = [
    "GRU",
    "INITS",
    "LSTM",
    "RBF",
    "RNN",
    "Affine",
    "BatchNorm",
    "Conv",
    "Cost",
    "Dense",
    "GlobalPool",
    "Init",
    "LocalResponseNorm",
    "Policy",
    "Pool",
    "RecurrentState",
    "Subsample",
    "TableConv",
    "Unit",
    "initialisation",
]
