"""Runs `experiments.stylize` with flags, in a process with two virtual devices, and prints what became of it."""

import json
import sys

import jax

from experiments import stylize
from experiments.running import single


def main():
    given, used, follow = json.loads(sys.argv[1]), [], single.follow
    flags = {name: tuple(value) if isinstance(value, list) else value for name, value in given.items()}

    def noting(run, *arguments, **options):
        for progress in follow(run, *arguments, **options):
            used.append(len(progress.state.variables.sharding.device_set))
            yield progress

    single.follow = noting
    stylize.run(stylize.Config(**flags, steps=2))
    found = stylize.run(stylize.Config(**flags, steps=4, resume=True))
    report = {"devices": len(jax.devices()), "used": used, "loss": list(map(float, found.history.loss))}
    sys.stdout.write("\n" + json.dumps(report))


if __name__ == "__main__":
    main()
