"""Linen modules that own parameters and call `jnets.ops`."""

from jnets.layers.conv import Conv, TableConv
from jnets.layers.cost import Cost
from jnets.layers.init import INITS, Init, initialisation
from jnets.layers.linear import RBF, Affine, Dense
from jnets.layers.policy import Policy
from jnets.layers.pool import Pool, Subsample

__all__ = [
    "INITS",
    "RBF",
    "Affine",
    "Conv",
    "Cost",
    "Dense",
    "Init",
    "Policy",
    "Pool",
    "Subsample",
    "TableConv",
    "initialisation",
]
