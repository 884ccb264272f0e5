"""The likeliest sequences of a model that gives one symbol after another.

A model is known here by its step alone,

    step(state, tokens [N]) -> (outputs [N, V], state),

outputs being logits or log-probabilities of the next symbol, and `state` any tree of
arrays whose leading axis is N. The first tokens are `rules.start`. Both searches are
one `lax.while_loop` that ends when nothing can change any more; put them under
`jax.jit` together with what makes the first state.

Axes: B sequences, K beam, T steps, V vocabulary; N is B, or B K.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from jnets.errors import InputError
from jnets.typing import Array, PyTree

# As `jnets.data.vocabulary` numbers them; what fills sequences up after their end.
PADDING, UNKNOWN, START, END = range(4)

Step = Callable[[PyTree, Array], tuple[Array, PyTree]]


class Rules(NamedTuple):
    """Where sequences start and end, and what may be in them.

    The symbols of `never` are left out, and so is `start`. Those of `once`, bool [V],
    are chosen at most once in a sequence (Huang et al. 2016, section 5, of content
    words). Scores stay the model's: what is left is not made to sum to 1.
    """

    start: int = START
    end: int = END
    never: tuple[int, ...] = (PADDING, UNKNOWN)
    once: Array | None = None


RULES = Rules()


def greedy(
    step: Step,
    state: PyTree,
    *,
    batch: int,
    steps: int,
    rules: Rules = RULES,
) -> tuple[Array, Array]:
    """The likeliest symbol at every step: tokens int32 [B, T] and lengths int32 [B].

    T is `steps`. A sequence ends with `rules.end`, which is among its tokens but not
    in its length, and PADDING, or is cut after T symbols.
    """
    _check(batch=batch, steps=steps)

    def going(search):
        at, _, lengths, _, _ = search
        return (at < steps) & jnp.any(lengths == steps)

    def advance(search):
        at, tokens, lengths, last, state = search
        outputs, state = step(state, last)
        last = jnp.argmax(_allowed(outputs, tokens, rules), axis=-1).astype(jnp.int32)
        last = jnp.where(lengths < steps, PADDING, last)
        tokens = tokens.at[:, at].set(last)
        ends = (lengths == steps) & (last == rules.end)
        return at + 1, tokens, jnp.where(ends, at, lengths), last, state

    tokens = jnp.full((batch, steps), PADDING, jnp.int32)
    lengths = jnp.full(batch, steps, jnp.int32)
    start = jnp.full(batch, rules.start, jnp.int32)
    search = jnp.int32(0), tokens, lengths, start, state
    _, tokens, lengths, _, _ = lax.while_loop(going, advance, search)
    return tokens, lengths


class _Search(NamedTuple):
    """Hypotheses that go on, the last token and log-probability of each, and those
    that are complete; a score of -inf is none's."""

    at: Array
    tokens: Array  # [B, K, T]
    scores: Array  # [B, K]
    last: Array  # [B, K]
    state: PyTree  # leading axis B K
    done_tokens: Array  # [B, K, T]
    done_scores: Array  # [B, K]


def beam_search(
    step: Step,
    state: PyTree,
    *,
    batch: int,
    beam: int,
    steps: int,
    alpha: float = 0.6,
    rules: Rules = RULES,
) -> tuple[Array, Array]:
    """The K best sequences found: tokens int32 [B, K, T] and scores [B, K], best first.

    Every hypothesis is extended by every symbol, and of all those of a sequence the K
    likeliest are kept; one that takes `rules.end` leaves the beam and is kept apart,
    as one that has T = `steps` symbols does without (Sutskever et al. 2014, section
    3.2). Of these the K best by

        score = log p / ((5 + n) / 6)^alpha,   n symbols, the end among them,

    are returned (Wu et al. 2016, section 7; alpha = 0 is Sutskever's). The search is
    over when no hypothesis can become better than the worst of K complete ones. `state`
    has the leading axis B; `step` meets B K rows, sequence b's at b K and after. After
    their end tokens are PADDING; where there are fewer than K sequences the last scores
    are -inf. K = 1 is `greedy`.
    """
    _check(batch=batch, beam=beam, steps=steps)
    if not 0 <= alpha < float("inf"):
        raise InputError(f"alpha={alpha} is not usable; expected 0 or more")

    def going(search: _Search) -> Array:
        best = search.scores.max(axis=1) / _norm(steps, alpha)
        return (search.at < steps) & jnp.any(best > search.done_scores.min(axis=1))

    def advance(search: _Search) -> _Search:
        return _advance(step, search, alpha, rules)

    end = lax.while_loop(going, advance, _first(state, batch, beam, steps, rules))
    return end.done_tokens, end.done_scores


def _first(state: PyTree, batch: int, beam: int, steps: int, rules: Rules) -> _Search:
    """One hypothesis of each sequence, with nothing in it."""
    tokens = jnp.full((batch, beam, steps), PADDING, jnp.int32)
    none = jnp.full((batch, beam), -jnp.inf)
    return _Search(
        jnp.int32(0),
        tokens,
        none.at[:, 0].set(0.0),
        jnp.full((batch, beam), rules.start, jnp.int32),
        jax.tree.map(lambda x: jnp.repeat(x, beam, axis=0), state),
        tokens,
        none,
    )


def _advance(step: Step, search: _Search, alpha: float, rules: Rules) -> _Search:
    batch, beam, steps = search.tokens.shape
    outputs, state = step(search.state, search.last.reshape(-1))
    added = _allowed(outputs, search.tokens.reshape(-1, steps), rules)
    scores = search.scores[..., None] + added.reshape(batch, beam, -1)
    scores, chosen = lax.top_k(scores.reshape(batch, -1), beam)
    parents, last = jnp.divmod(chosen.astype(jnp.int32), outputs.shape[-1])
    tokens = _rows(search.tokens, parents).at[:, :, search.at].set(last)
    rows = (jnp.arange(batch)[:, None] * beam + parents).reshape(-1)

    length = search.at + 1
    complete = (last == rules.end) | (length == steps)
    found = jnp.where(complete, scores / _norm(length, alpha), -jnp.inf)
    every = jnp.concatenate([search.done_scores, found], axis=1)
    done_scores, best = lax.top_k(every, beam)
    done_tokens = jnp.concatenate([search.done_tokens, tokens], axis=1)
    done_tokens = jnp.where(
        jnp.isfinite(done_scores)[..., None], _rows(done_tokens, best), PADDING
    )
    return _Search(
        length,
        tokens,
        jnp.where(complete, -jnp.inf, scores),
        last,
        jax.tree.map(lambda x: x[rows], state),
        done_tokens,
        done_scores,
    )


def _rows(tokens: Array, at: Array) -> Array:
    return jnp.take_along_axis(tokens, at[..., None], axis=1)


def _norm(length: Array | int, alpha: float) -> Array:
    return ((5.0 + jnp.asarray(length)) / 6.0) ** alpha


def _allowed(outputs: Array, tokens: Array, rules: Rules) -> Array:
    """Log-probabilities [N, V] in float32, -inf where the rules forbid a symbol to
    sequences that have `tokens` [N, T] so far."""
    logs = jax.nn.log_softmax(outputs.astype(jnp.float32))
    left_out = sorted({*rules.never, rules.start} - {rules.end})
    bad = jnp.zeros(logs.shape[-1:], bool).at[jnp.array(left_out, jnp.int32)].set(True)
    bad = bad[None]
    if rules.once is not None:
        had = jnp.zeros(logs.shape, bool)
        had = had.at[jnp.arange(logs.shape[0])[:, None], tokens].set(True)
        bad = bad | (had & jnp.asarray(rules.once)[None])
    return jnp.where(bad, -jnp.inf, logs)


def _check(**counts: int) -> None:
    for name, count in counts.items():
        if count < 1:
            raise InputError(f"{name}={count} is not usable; expected at least 1")
