"""Runs everything that other people's clients are tried with; words on the command line choose."""

import asyncio
import sys

import with_converse  # noqa: F401
import with_go_sendxmpp  # noqa: F401
import with_mcabber  # noqa: F401
import with_profanity  # noqa: F401
import with_rooms  # noqa: F401
import with_scripts  # noqa: F401
import with_slixmpp  # noqa: F401
import with_web  # noqa: F401
import world

if __name__ == "__main__":
    sys.exit(0 if asyncio.run(world.run_all()) else 1)
