"""A bar on a terminal, plain lines elsewhere, nothing on standard output."""

import io
import sys

from jnets.training.progress import ProgressBar


class Terminal(io.StringIO):
    def isatty(self):
        return True


def use():
    with ProgressBar(10, done=3) as bar:
        bar.advance(2, 4, 0.5)
        bar.line("epoch 4/8  loss [0.5000]")


def test_a_pipe_gets_lines_only(capsys):
    use()
    out, err = capsys.readouterr()
    assert out == ""
    assert err == "epoch 4/8  loss [0.5000]\n"


def test_a_long_line_is_not_broken(capsys):
    with ProgressBar(1) as bar:
        bar.line("word " * 60)
    assert capsys.readouterr().err.count("\n") == 1


def test_a_terminal_gets_a_bar(monkeypatch, capsys):
    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    use()
    shown = sys.stderr.getvalue()
    assert "epoch 4/8  loss [0.5000]" in shown
    assert "5/10" in shown and "loss 0.5000" in shown
    assert capsys.readouterr().out == ""
