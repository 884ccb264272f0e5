"""The three flavours of gradient descent, as data.

All three repeat: accumulate g_t over some examples, get the factor rho_t from a
schedule, set theta_{t+1} = theta_t - rho_t g_t. They differ in how many examples an
update reads: one (online), a few (minibatch), or all of them (batch).
"""

from typing import NamedTuple, TypeAlias

from jnets.errors import InputError

Reduction: TypeAlias = str  # "mean" or "sum"


class Descent(NamedTuple):
    """How many examples an update reads, and how their gradients are combined.

    `examples` is read in `chunks` equal parts, one after the other, whose gradients
    are summed: memory holds one part. `reduction` "mean" divides the sum by the
    number of examples, so that the rate need not follow the batch size; "sum" is the
    plain accumulation g_t += l'(x_i).
    """

    examples: int
    chunks: int = 1
    reduction: Reduction = "mean"

    def updates(self, size: int) -> int:
        """Updates in one pass over `size` examples; the last may read fewer."""
        return -(-size // self.examples)


def online(*, reduction: Reduction = "mean") -> Descent:
    """One update per example; for one example, sum and mean are the same."""
    return _checked(Descent(1, 1, reduction))


def minibatch(examples: int, *, reduction: Reduction = "mean") -> Descent:
    """One update per `examples` examples drawn without replacement."""
    return _checked(Descent(examples, 1, reduction))


def batch(size: int, *, chunk: int = 1024, reduction: Reduction = "mean") -> Descent:
    """One update per pass over all `size` examples, `chunk` of them at a time."""
    if chunk < 1:
        raise InputError(f"chunk={chunk} is not usable; expected at least 1")
    if size < 1:
        raise InputError(f"batch size {size} is not usable; expected >= 1")
    chunks = -(-size // chunk)
    return _checked(Descent(-(-size // chunks) * chunks, chunks, reduction))


def _checked(descent: Descent) -> Descent:
    if descent.examples < 1:
        raise InputError(f"batch size {descent.examples} is not usable; expected >= 1")
    if descent.reduction not in ("mean", "sum"):
        raise InputError(
            f"reduction={descent.reduction!r} is unknown; expected 'mean' or 'sum'"
        )
    return descent
