import pytest

from nst_jax.errors import one_line

pytestmark = pytest.mark.quick


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("2.5\u00a0MB", "2.5 MB"),
        ("Screenshot at 10.00\u202fAM.png", "Screenshot at 10.00 AM.png"),  # as macOS names them
        ("two\nlines\u2028three\u2029four", r"two\nlines\u2028three\u2029four"),
        ("\x1b[31mred\u202e", r"\x1b[31mred\u202e"),  # colours of a terminal, and text that runs backwards
    ],
)
def test_one_line_escapes_all_but_spaces(text, shown):
    assert one_line(text) == shown


def test_one_line_cuts_what_is_long():
    assert one_line("x" * 21, longest=20) == "x" * 20 + "…"
    assert one_line("x" * 20, longest=20) == "x" * 20
