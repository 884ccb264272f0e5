"""The first signal is a question, the second a blow."""

import signal
import threading

import pytest

from jnets.training.interrupt import Interrupt

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@pytest.fixture
def caught():
    """Signals that reach the handlers from before, which are put back afterwards."""
    received: list[int] = []
    before = {
        number: signal.signal(number, lambda number, frame: received.append(number))
        for number in SIGNALS
    }
    yield received
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", SIGNALS)
def test_the_first_signal_only_asks(caught, number):
    with Interrupt() as interrupt:
        assert not interrupt.requested
        signal.raise_signal(number)
        assert interrupt.requested
    assert caught == []


@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize("second", SIGNALS)
def test_the_second_signal_goes_where_it_went_before(caught, number, second):
    with Interrupt() as interrupt:
        signal.raise_signal(number)
        signal.raise_signal(second)
        assert interrupt.requested
    assert caught == [second]


def test_handlers_are_put_back(caught):
    before = [signal.getsignal(number) for number in SIGNALS]
    with Interrupt():
        assert [signal.getsignal(number) for number in SIGNALS] != before
    assert [signal.getsignal(number) for number in SIGNALS] == before
    with pytest.raises(RuntimeError), Interrupt():
        raise RuntimeError
    assert [signal.getsignal(number) for number in SIGNALS] == before


def test_outside_the_main_thread_nothing_changes(caught):
    before, found = [signal.getsignal(number) for number in SIGNALS], []

    def work():
        with Interrupt() as interrupt:
            found.extend(signal.getsignal(number) for number in SIGNALS)
            found.append(interrupt.requested)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [*before, False]
