"""What a net of pictures knows of them before it classifies: for models that go on.

Axes: B pictures, then height, width, channels; D features.
"""

from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn
import jax

from jnets.errors import InputError
from jnets.layers import Dense, Policy
from jnets.typing import Array

_CLASSES = 1  # which no other layer puts out: the classifier is known by it


def body(name: str, fields: Mapping[str, Any], policy: Policy) -> nn.Module:
    """The net called `name` to be read by this file. Errors: InputError if there is
    none, or one without these fields."""
    # Here, as the table of models has those that read features, too.
    from jnets.models import create

    return create(name, **{"policy": policy, **fields, "classes": _CLASSES})


def read_vector(net: nn.Module, x: Array, *, tune: bool, train: bool) -> Array:
    """Pictures [B, H, W, 3] as the classifier would read them: [B, D].

    Of a VGG that is fc7 after its rectifier, of a ResNet the mean of stage 4. `net` is
    a bound submodule that `body` made. Its classifier is not called and has no
    parameters; all others keep their names, so that published weights fit.

    Unless `tune`, the net runs as in use also in training, without dropout and by its
    running statistics, and gets no gradient.

    Errors: InputError for a net without a fully connected classifier.
    """
    read: list[Array] = []

    def classifier(module: nn.Module, x: Array) -> bool:
        found = isinstance(module, Dense) and module.features == _CLASSES
        if found:
            read.append(x)
        return found

    _read(net, x, classifier, lambda y: None, tune and train)
    return _last(read, net, tune)


def read_map(net: nn.Module, x: Array, *, tune: bool, train: bool) -> Array:
    """The last map of pictures [B, H, W, 3]: [B, H', W', C].

    Of a VGG that is pool5, of a ResNet stage 4. As `read_vector`, but that none of the
    fully connected layers is called. Errors: InputError for a net without maps.
    """
    maps: list[Array] = []

    def keep(y: Any) -> None:
        if isinstance(y, jax.Array) and y.ndim == 4:
            maps.append(y)

    _read(net, x, lambda module, x: isinstance(module, Dense), keep, tune and train)
    return _last(maps, net, tune)


def _read(
    net: nn.Module,
    x: Array,
    passed_by: Callable[[nn.Module, Array], bool],
    keep: Callable[[Any], None],
    train: bool,
) -> None:
    """Call the net; what its own layers put out is kept, and some are passed by."""

    def listen(call, args, kwargs, context: nn.module.InterceptorContext):
        module = context.module
        if module.path[:-1] != net.path or context.method_name != "__call__":
            return call(*args, **kwargs)
        if passed_by(module, args[0]):
            return args[0]
        result = call(*args, **kwargs)
        keep(result)
        return result

    with nn.intercept_methods(listen):
        net(x, train=train)


def _last(found: list[Array], net: nn.Module, tune: bool) -> Array:
    if not found:
        raise InputError(
            f"encoder {type(net).__name__} has not the features that are read; "
            f"expected a convolutional net with a fully connected classifier"
        )
    return found[-1] if tune else jax.lax.stop_gradient(found[-1])
