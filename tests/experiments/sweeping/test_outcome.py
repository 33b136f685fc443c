"""How a script of a grid ends: what it prints, and its exit status."""

from pathlib import Path

import pytest

from experiments.sweeping.outcome import Outcome, finish_script

pytestmark = pytest.mark.quick


@pytest.mark.parametrize(("finished", "expected"), [(0, "0 pictures"), (1, "1 picture"), (2, "2 pictures")])
def test_the_number_of_pictures(finished, expected, capsys):
    finish_script(Outcome(Path("run"), finished, {}, missing=0, stopped=False, names={}))
    assert capsys.readouterr().out == f"{expected}, sheet and page: {Path('run', 'index.html')}\n"


@pytest.mark.parametrize(
    ("changes", "status"),
    [({"stopped": True}, 130), ({"failed": {"000_a": "unreadable"}}, 1)],
)
def test_the_exit_status(changes, status):
    outcome = Outcome(Path("run"), 1, {}, missing=0, stopped=False, names={})._replace(**changes)
    with pytest.raises(SystemExit) as caught:
        finish_script(outcome)
    assert caught.value.code == status
