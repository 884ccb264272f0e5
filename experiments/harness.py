"""What every experiment shares: flags, run directory, resuming, the result line."""

import contextlib
import dataclasses
import io
import json
import shlex
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import tyro

from jnets.doctor import machine, version
from jnets.errors import InputError
from jnets.runs import Description, Run, write_whole
from jnets.training import NonFiniteLoss, TrainState, fit
from jnets.training.fit import Plan, Row
from jnets.training.program import Data
from jnets.training.source import Feed
from jnets.training.step import Step

Result = dict[str, float | int | str]


@dataclasses.dataclass(frozen=True)
class Where:
    """Where the run is kept; no part of the configuration."""

    out: Path | None = None
    """Run directory to make; runs/<experiment>-<time> if not given."""

    resume: Path | None = None
    """Run directory to go on with, under the configuration it has."""

    save_seconds: float = 10.0
    """Seconds of work that a kill may cost: the time between checkpoints."""


class Session:
    """One invocation of an experiment: a new run, or one to go on with."""

    def __init__(self, experiment: str, config: Any, where: Where):
        self.experiment, self.config, self.where = experiment, config, where
        self.run: Run | None = None

    def start(self, **described: Any) -> Run:
        """Make or open the run directory. Called once all input has been read, so
        that bad input leaves nothing behind; `described` are fields of
        `Description`."""
        config = _plain(self.config)
        if self.where.resume is not None:
            self.run = Run.open(self.where.resume)
        else:
            description = Description(
                experiment=self.experiment, config=config, **described
            )
            self.run = Run.create(self._directory(), description)
        return self.run

    def part(self, run: Run, name: str, **described: Any) -> Run:
        """A run inside a run, in the folder `name`; described as it is, but for the
        fields of `Description` that are given."""
        directory = run.directory / name
        if (directory / "config.json").exists():
            return Run.open(directory)
        description = dataclasses.replace(run.description, **described)
        return Run.create(directory, description)

    def train(
        self,
        run: Run,
        state: TrainState,
        step: Step,
        data: Data | Feed,
        plan: Plan,
        evaluate: Callable[[TrainState], Row],
    ) -> TrainState:
        """`fit` from the newest checkpoint of the run, if it has one."""
        with run.checkpoints(seconds=self.where.save_seconds) as checkpoints:
            saved = checkpoints.restore(state)
            totals = {}
            if saved is not None:
                state, totals = saved
            run.rewind(int(state.step))
            return fit(
                state,
                step,
                data,
                plan,
                evaluate=evaluate,
                record=run.record,
                checkpoints=checkpoints,
                totals=totals,
            )

    def _directory(self) -> Path:
        if self.where.out is not None:
            return self.where.out
        stamp = time.strftime("%Y%m%d-%H%M%S")
        base = directory = Path("runs") / f"{self.experiment}-{stamp}"
        number = 1
        while directory.exists():
            number += 1
            directory = base.with_name(f"{base.name}-{number}")
        return directory


def main(experiment: str, default: Any, body: Callable[[Any, Session], Result]) -> int:
    """Run `body(config, session)` under flags made from `default`, a frozen dataclass.

    Prints one `result: name=value ...` line on standard output. Status: 0, 2 for a
    user's mistake, 1 for a loss that is not finite, 130 when interrupted.
    """
    session = None
    try:
        session = _parse(experiment, default)
        started = time.perf_counter()
        at_least(0, session.where, "save_seconds")
        if not 0 <= session.config.seed < 2**32:
            raise InputError(
                f"seed={session.config.seed} is not usable; expected 0 to {2**32 - 1}"
            )
        result = body(session.config, session)
        seconds = time.perf_counter() - started
    except InputError as error:
        return _fail(f"error: {error}", 2)
    except NonFiniteLoss as error:
        return _fail(f"error: {error}", 1)
    except KeyboardInterrupt:
        if session is None or session.run is None:
            return _fail("interrupted", 130)
        directory = shlex.quote(str(session.run.directory))
        command = f"python -m experiments.{experiment} --resume {directory}"
        return _fail(f"interrupted; go on with: {command}", 130)
    assert session.run is not None
    result |= {"seconds": round(seconds, 1)}
    done = {"result": result, "on": machine() | {"jax": version("jax")}}
    write_whole(session.run.directory / "result.json", json.dumps(done, indent=1))
    result |= {"run": str(session.run.directory)}
    print("result:", *(f"{k}={_shown(v)}" for k, v in result.items()))
    return 0


def at_least(low: int, config: Any, *names: str) -> None:
    """Raise an InputError unless these fields of a configuration are >= `low`, or None,
    which leaves them open."""
    for name in names:
        value = getattr(config, name)
        if value is not None and not value >= low:  # not-a-number is not
            raise InputError(f"{name}={value} is not usable; expected at least {low}")


def fraction(config: Any, *names: str) -> None:
    """Raise an InputError unless these fields are at least 0 and below 1, or None."""
    for name in names:
        value = getattr(config, name)
        if value is not None and not 0 <= value < 1:
            raise InputError(
                f"{name}={value} is not usable; expected at least 0 and below 1"
            )


def _parse(experiment: str, default: Any) -> Session:
    config, where = _flags(experiment, default)
    if where.resume is None:
        return Session(experiment, config, where)
    if where.out is not None:
        raise InputError(
            f"out={where.out} cannot go with resume={where.resume}; a resumed run "
            f"stays where it is"
        )
    described = Run.open(where.resume).description
    if described.experiment != experiment:
        raise InputError(
            f"resume={where.resume} is a run of experiments.{described.experiment}; "
            f"expected one of experiments.{experiment}"
        )
    saved = _from_plain(default, described.config)
    config, _ = _flags(experiment, saved)
    for name, given in _plain(config).items():
        kept = described.config[name]
        if given != kept:
            raise InputError(
                f"{name}={given} differs from the run's {kept}; a resumed run keeps "
                f"its configuration"
            )
    return Session(experiment, saved, where)


def _flags(experiment: str, default: Any) -> tuple[Any, Where]:
    """Flags of the configuration and of `Where`, under one flat set of names."""
    flat = tyro.conf.arg(name="")
    both = dataclasses.make_dataclass(
        "Flags",
        [
            ("config", Annotated[type(default), flat]),
            ("where", Annotated[Where, flat]),
        ],
    )
    complaint = io.StringIO()
    try:
        with contextlib.redirect_stderr(complaint):
            parsed = tyro.cli(
                both,
                prog=f"python -m experiments.{experiment}",
                description=sys.modules[type(default).__module__].__doc__,
                default=both(default, Where()),
                config=(tyro.conf.FlagCreatePairsOff,),
            )
    except SystemExit as stop:
        if stop.code in (0, None):  # --help
            raise
        raise InputError(_first_sentence(complaint.getvalue())) from None
    return parsed.config, parsed.where


def _first_sentence(box: str) -> str:
    """What tyro's boxed message says before its first rule, on one line."""
    lines = [line.strip("│ ") for line in box.splitlines()[1:]]
    rules = (i for i, line in enumerate(lines) if line.startswith(("─", "╰")))
    return " ".join(lines[: next(rules, None)]) or box.strip()


def _plain(config: Any) -> dict[str, Any]:
    """The configuration as JSON values; a path becomes absolute, so that a run can be
    resumed from another directory."""
    values = dataclasses.asdict(config)
    return {
        k: str(v.absolute()) if isinstance(v, Path) else v for k, v in values.items()
    }


def _from_plain(default: Any, values: dict[str, Any]) -> Any:
    """The configuration that `_plain` wrote; Errors: InputError for another shape."""
    names = {field.name for field in dataclasses.fields(default)}
    if set(values) != names:
        odd = sorted(names ^ set(values))
        raise InputError(
            f"config.json of the run has not the fields of this experiment ({odd[0]} "
            f"is in only one of them); it was written by another version"
        )
    paths = {"data_dir", "weights", "series"} & names
    changed = {k: Path(values[k]) for k in paths if values[k] is not None}
    return dataclasses.replace(default, **(json.loads(json.dumps(values)) | changed))


def _shown(value: float | int | str) -> str:
    if isinstance(value, float):
        return f"{value:.4f}".rstrip("0").rstrip(".") if value else "0"
    return shlex.quote(str(value))


def _fail(message: str, status: int) -> int:
    print(message, file=sys.stderr)
    return status
