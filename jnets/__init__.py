"""Convolutional and recurrent networks in JAX: pure functions, exact to the papers."""

from jnets.errors import InputError
from jnets.models import create, list_models
from jnets.runs import load

__version__ = "0.1.0"

__all__ = ["InputError", "create", "list_models", "load"]
