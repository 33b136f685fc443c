"""Progress where there is no terminal: plain lines, few of them."""

import time

import pytest

from experiments.running.progress import progress_bar

pytestmark = pytest.mark.quick


@pytest.fixture
def clock(monkeypatch):
    """Lets a test say how many seconds have passed."""
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0.01, ["100/100"]),  # soon done: the end alone
        (1.0, ["30/100", "60/100", "90/100", "100/100"]),  # half a minute apart
        (20.0, [f"{step}/100" for step in range(10, 101, 10)]),  # a tenth apart
    ],
)
def test_a_line_when_both_steps_and_time_have_passed(seconds, expected, clock, capsys):
    with progress_bar(steps=100, done=0) as bar:
        for step in range(1, 101):
            clock[0] += seconds
            bar.update(step, f"loss {step}")
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == "".join(f"{line} loss {line.partition('/')[0]}\n" for line in expected)


def test_what_is_said_is_printed_as_it_is(capsys):
    with progress_bar(steps=10, done=10) as bar:
        bar.say("[red]compiled[/red] in 1.5 s")
    assert capsys.readouterr().err == "[red]compiled[/red] in 1.5 s\n"


def test_an_interrupted_run_says_how_far_it_came(capsys):
    def run():
        with progress_bar(steps=10, done=2) as bar:
            bar.update(3, "")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run()
    assert capsys.readouterr().err == "3/10\n"
