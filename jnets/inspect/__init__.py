"""Looking into models and into trained ones."""

from jnets.inspect.activations import capture, filters
from jnets.inspect.googlenet_table import printed_table
from jnets.inspect.receptive import receptive_fields
from jnets.inspect.summary import Layer, Summary, summarize
from jnets.inspect.table import to_table

__all__ = [
    "Layer",
    "Summary",
    "capture",
    "filters",
    "printed_table",
    "receptive_fields",
    "summarize",
    "to_table",
]
