"""Data sets as NumPy arrays, and how an image or a name becomes numbers.

`mnist`, `digits` and `names` each load one data set as a `Dataset`; `images` says
how an image becomes what a model takes; `idx` and `fetch` read and download files.
Nothing here knows a model or imports JAX.
"""

from jnets.data.dataset import Dataset as Dataset
