"""A program on a terminal of its own, driven through tmux as a person would."""

import asyncio
import itertools
import os
import re

from world import PATIENCE

NUMBERS = itertools.count()


class Screen:
    """A terminal with one program on it, in a home of its own."""

    def __init__(self, world, name):
        self.world = world
        self.home = world.folder / name
        self.home.mkdir()
        self.socket = f"whoelse-{os.getpid()}-{next(NUMBERS)}"

    async def tmux(self, *args):
        process = await asyncio.create_subprocess_exec(
            "tmux", "-L", self.socket, "-f", "/dev/null", *args,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        output, _ = await process.communicate()
        return output.decode(errors="replace")

    async def start(self, *command):
        places = [f"{name}={self.home}" for name in
                  ("HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME")]
        # The server's own certificate is the one authority of this computer.
        trust = f"SSL_CERT_FILE={self.home / 'trusted.pem'}"
        command = ["env", *places, trust, "TERM=screen", "LC_ALL=C.UTF-8", "TZ=UTC", *command]
        await self.tmux("-u", "new-session", "-d", "-x", "150", "-y", "60", *command)

    async def __aexit__(self, *_):
        await self.tmux("kill-server")

    async def types(self, line):
        await self.tmux("send-keys", "-l", line)
        await self.tmux("send-keys", "Enter")

    async def sees(self, pattern):
        """Waits until the screen shows this."""
        loop = asyncio.get_running_loop()
        until = loop.time() + PATIENCE
        while True:
            screen = await self.tmux("capture-pane", "-p")
            if re.search(pattern, screen):
                return screen
            assert loop.time() < until, f"waited in vain: {pattern}\nscreen:\n{screen}"
            await asyncio.sleep(0.05)
