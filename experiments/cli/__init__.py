"""The command line: flags from dataclasses, the samples they default to, the cache of compiled programs."""
