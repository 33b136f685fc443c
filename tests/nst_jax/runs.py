"""Running a problem to its end, for tests."""

from nst_jax.history import join
from nst_jax.loop import run, stage


def finish(problem, start, *, steps, **options):
    """Returns the last progress of a run, and all its losses, the first ones before any step."""
    news = list(run([stage(problem, start, steps=steps)], **options))
    return news[-1], join([progress.history for progress in news])
