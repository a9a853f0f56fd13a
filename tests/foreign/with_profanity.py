"""Profanity, a client that people use in terminals; driven through tmux as a person would."""

import asyncio
import itertools
import os
import re

from world import PATIENCE, check, password

NUMBERS = itertools.count()


class Profanity:
    """One Profanity on a terminal of its own, with settings of its own."""

    def __init__(self, world, name):
        self.world = world
        self.name = name
        self.home = world.folder / f"profanity-{name}"
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

    async def __aenter__(self):
        places = [f"{name}={self.home}" for name in
                  ("HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME")]
        command = ["env", *places, "TERM=screen", "LC_ALL=C.UTF-8", "TZ=UTC", "profanity"]
        await self.tmux("-u", "new-session", "-d", "-x", "150", "-y", "60", *command)
        await self.sees("Profanity")
        return self

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

    async def logs_in(self):
        """Connects, looks at the certificate nobody vouches for, and accepts it."""
        await self.types(
            f"/connect {self.name}@localhost server 127.0.0.1 port {self.world.port} tls force"
        )
        await self.sees("Enter password:")
        await self.types(password(self.name))
        await self.sees("TLS certificate verification failed")
        await self.sees("/tls allow")
        await self.types("/tls allow")
        await self.sees(rf"{self.name}@localhost/\S+ logged in successfully")


@check
async def profanity_and_our_client_chat_and_see_each_other(world):
    async with Profanity(world, "alice") as alice:
        await alice.logs_in()
        bob = await world.client("bob")
        await alice.sees(r"\+\+ bob .*is online")

        await alice.types("/msg bob@localhost hello from profanity")
        await bob.hears("alice: hello from profanity")
        bob.says("message alice grüße, and back <&>")
        await alice.sees("bob.*grüße, and back <&>")
        await alice.types("typed into the window of the chat")
        await bob.hears("alice: typed into the window of the chat")
        bob.says("whoelse")
        await bob.hears("alice")

        assert await bob.end() == 0
        await alice.types("/win 1")
        await alice.sees(r"-- bob .*is offline")
        bob = await world.client("bob")
        await alice.sees(r"(?s)-- bob .*\+\+ bob .*is online")
        await alice.types("/disconnect")
        await bob.hears("* alice logged out")


@check
async def profanity_gets_what_came_while_it_was_away(world):
    bob = await world.client("bob")
    bob.says("message alice first")
    bob.says("message alice second")
    async with Profanity(world, "alice") as alice:
        await alice.logs_in()
        await bob.hears("* alice logged in")
        await alice.types("/win 2")
        await alice.sees("(?s)first.*second")


@check
async def profanity_is_told_that_somebody_blocked_it(world):
    async with Profanity(world, "alice") as alice:
        await alice.logs_in()
        bob = await world.client("bob")
        await alice.sees(r"\+\+ bob .*is online")
        bob.says("block alice")
        await bob.hears("alice is blocked")
        await alice.sees(r"-- bob .*is offline")
        await alice.types("/msg bob@localhost can you hear me")
        await alice.sees("bob has blocked you|service-unavailable|Recipient not found")
        assert not [line for line in bob.lines if "can you hear me" in line], bob.lines


@check
async def profanity_is_told_that_a_password_is_wrong(world):
    async with Profanity(world, "alice") as alice:
        await alice.types(
            f"/connect alice@localhost server 127.0.0.1 port {world.port} tls force"
        )
        await alice.sees("Enter password:")
        await alice.types("not the secret")
        await alice.sees("/tls allow")
        await alice.types("/tls allow")
        await alice.sees("Login failed")
