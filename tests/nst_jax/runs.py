"""Running a problem to its end, for tests."""

import jax

from nst_jax.history import join
from nst_jax.loop import run, stage


def finish(problem, start, *, steps, **options):
    """Returns the last progress of a run, and all its losses, the first ones before any step."""
    news = list(run([stage(problem, start, steps=steps)], **options))
    return news[-1], join([progress.history for progress in news])


def interrupted(make_stages, step):
    """Returns the last progress of a run that goes on from its state after a step, taken to the host and back."""
    index, state = next(
        jax.device_get((progress.stage, progress.state))
        for progress in run(make_stages(), pause_every=1)
        if int(progress.state.step) == step
    )
    *_, last = run(make_stages(), first=index, state=jax.device_put(state))
    return last
