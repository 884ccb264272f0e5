"""Looking into models and into trained ones."""

from jnets.inspect.activations import capture, filters
from jnets.inspect.summary import Layer, Summary, summarize, to_table

__all__ = ["Layer", "Summary", "capture", "filters", "summarize", "to_table"]
