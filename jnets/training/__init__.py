"""State, steps, descent, metrics, fit and checkpoints. Knows no model."""

from jnets.training.checkpoint import Checkpoints
from jnets.training.decode import Rules, beam_search, greedy
from jnets.training.descent import Descent, batch, minibatch, online
from jnets.training.evaluate import Evaluation, evaluate, make_predict
from jnets.training.fit import NonFiniteLoss, fit
from jnets.training.program import Batch, epoch_order, make_program
from jnets.training.schedules import constant, cosine, inverse, stages
from jnets.training.state import TrainState, create_state
from jnets.training.step import make_step, make_train_step

__all__ = [
    "Batch",
    "Checkpoints",
    "Descent",
    "Evaluation",
    "NonFiniteLoss",
    "Rules",
    "TrainState",
    "batch",
    "beam_search",
    "constant",
    "cosine",
    "create_state",
    "epoch_order",
    "evaluate",
    "fit",
    "greedy",
    "inverse",
    "make_predict",
    "make_program",
    "make_step",
    "make_train_step",
    "minibatch",
    "online",
    "stages",
]
