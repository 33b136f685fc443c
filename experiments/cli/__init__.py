"""The command line: flags from dataclasses, the sample images they default to, the cache of compiled programs."""
