"""Runs everything that other people's clients are tried with."""

import asyncio
import sys

import with_profanity  # noqa: F401
import with_slixmpp  # noqa: F401
import world

if __name__ == "__main__":
    sys.exit(0 if asyncio.run(world.run_all()) else 1)
