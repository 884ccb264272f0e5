"""Fine-tuning: the first stages of a trained model stay as they are."""

from collections.abc import Collection, Sequence
from typing import Any

import flax.linen as nn
import optax

from jnets.errors import InputError
from jnets.training.optimizers import by_path
from jnets.typing import PyTree


def frozen_before(stage: str, stages: Sequence[str]) -> frozenset[str]:
    """The names before `stage` in `stages`, a model's top-level modules in call order.

    Errors: InputError that names the stages, if `stage` is none of them.
    """
    if stage not in stages:
        raise InputError(
            f"freeze_until={stage!r} is no stage of this model; expected one of "
            f"{', '.join(stages)}"
        )
    return frozenset(stages[: list(stages).index(stage)])


def freeze(
    optimizer: optax.GradientTransformation, frozen: Collection[str]
) -> optax.GradientTransformation:
    """The optimizer, for the parameters of all top-level modules but `frozen`.

    Theirs get updates of zero and no state. The optimizer does not see them: they do
    not decay, and do not count in a clipped norm. Errors: InputError at init if no
    module is left.
    """
    labels = {True: "frozen", False: "trained"}
    both = optax.multi_transform(
        {"frozen": optax.set_to_zero(), "trained": optimizer},
        lambda params: by_path(lambda p: labels[p.split("/")[0] in frozen], params),
    )

    def init(params: PyTree) -> PyTree:
        if frozen and not set(params) - set(frozen):
            raise InputError(
                f"freeze={sorted(frozen)} leaves nothing to train; expected fewer than "
                f"all modules"
            )
        return both.init(params)

    return optax.GradientTransformationExtraArgs(init, both.update)


class Frozen:
    """A model whose frozen stages run as in use, also in training.

    Their batch norms keep to the running statistics and leave them as they are, so a
    stage whose weights do not move computes what it computed before. Everything else
    is the model's own.
    """

    def __init__(self, model: nn.Module, frozen: Collection[str]):
        self._model, self._frozen = model, frozenset(frozen)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def apply(self, *arguments: Any, **keywords: Any) -> Any:
        """`model.apply`, with `train=False` for the norms of the frozen stages."""

        def in_use(call, args, kwargs, context: nn.module.InterceptorContext):
            module = context.module
            if module.path and module.path[0] in self._frozen and "train" in kwargs:
                kwargs = {**kwargs, "train": False}
            return call(*args, **kwargs)

        with nn.intercept_methods(in_use):
            return self._model.apply(*arguments, **keywords)
