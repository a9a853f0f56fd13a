"""A server of ours and our own client behind pipes, for tests with other people's clients.

Everything waits for events, with a patience that only a hanging program exhausts.
"""

import asyncio
import itertools
import json
import logging
import os
import re
import shutil
import sys
import tempfile
import time
import traceback
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BINARY = ROOT / os.environ.get("CARGO_TARGET_DIR", "target") / "debug" / "whoelse"
PATIENCE = 40
# How many checks run beside each other. They wait more than they compute.
AT_ONCE = 4

CHECKS = []


def check(function=None, **settings):
    """Registers a test; its name is a sentence that is true.

    With settings of the configuration file it gets a server that has them; a listener for direct
    TLS comes with any. Without, it is the quick start.
    """
    if function is None:
        return lambda function: check(function, **settings)
    CHECKS.append((function, settings))
    return function


def password(name):
    return f"the secret of {name}"


async def patiently(what, awaitable):
    try:
        return await asyncio.wait_for(awaitable, PATIENCE)
    except (asyncio.TimeoutError, TimeoutError):
        raise AssertionError(f"waited in vain: {what}") from None


class Program:
    """A program of ours, and the lines it has printed."""

    def __init__(self, process):
        self.process = process
        self.lines = []
        self.read = 0
        self.changed = asyncio.Event()
        self.readers = [asyncio.ensure_future(self._collect(process.stdout))]

    @classmethod
    async def start(cls, *args, cwd):
        environment = {**os.environ, "HOME": str(cwd), "TZ": "UTC"}
        environment.pop("RUST_LOG", None)
        process = await asyncio.create_subprocess_exec(
            BINARY,
            *map(str, args),
            cwd=cwd,
            env=environment,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            limit=1 << 22,
        )
        return cls(process)

    async def _collect(self, stream):
        while line := await stream.readline():
            self.lines.append(line.decode().rstrip("\n"))
            self.changed.set()
        self.lines.append("(end)")
        self.changed.set()

    async def hears(self, wanted):
        """The next line that is this one, or fits this pattern; those before are passed over."""

        def fits(line):
            return wanted.search(line) if isinstance(wanted, re.Pattern) else line == wanted

        async def wait():
            while True:
                while self.read < len(self.lines):
                    line = self.lines[self.read]
                    self.read += 1
                    if fits(line):
                        return line
                    assert line != "(end)", "it has ended"
                self.changed.clear()
                await self.changed.wait()

        try:
            return await patiently(wanted, wait())
        except AssertionError as error:
            raise AssertionError(f"{error}\nprinted: {self.lines}") from None

    async def hears_end(self, end):
        """The next line that ends like this, whatever time stands before it."""
        return await self.hears(re.compile(re.escape(end) + "$"))

    def says(self, line):
        self.process.stdin.write(line.encode() + b"\n")

    async def end(self):
        """Ends its input, and waits for its end."""
        if self.process.returncode is None:
            self.process.stdin.close()
            await patiently("the program ends", self.process.wait())
        await asyncio.gather(*self.readers)
        return self.process.returncode


class World:
    """A server with a few people, in a directory of its own."""

    def __init__(self, settings):
        self.settings = settings
        self.direct_port = self.web_port = 0
        self.folder = Path(tempfile.mkdtemp(prefix="whoelse-foreign-"))
        self.numbers = itertools.count()
        self.clients = []
        self.server = None
        self.port = 0

    async def __aenter__(self):
        people = [f"{name} {password(name)}\n" for name in ("alice", "bob", "carol")]
        credentials = self.folder / "credentials.txt"
        credentials.write_text("".join(people))
        credentials.chmod(0o600)
        arguments = ["server", 0]
        if self.settings:
            settings = {
                "listen": ["127.0.0.1:0"],
                "direct_tls": ["127.0.0.1:0"],
                "registration": "closed",
                "contacts": "everyone",
                **self.settings,
            }
            # Strings and lists of strings look the same in TOML and JSON.
            lines = [f"{key} = {json.dumps(value)}\n" for key, value in settings.items()]
            (self.folder / "whoelse.toml").write_text("".join(lines))
            arguments = ["server", "--config", "whoelse.toml", "--credentials", credentials]
        self.server = await Program.start(*arguments, cwd=self.folder)
        self.port = await self.listens(r"^listening on 127\.0\.0\.1:(\d+)$")
        if self.settings:
            self.direct_port = await self.listens(r"^listening on .*:(\d+) \(direct TLS\)$")
        if "web.listen" in self.settings:
            self.web_port = await self.listens(r"^listening on .*:(\d+) \(web\)$")
        # Everything is made and named in a line by then.
        await self.server.hears(re.compile("^serving "))
        return self

    async def listens(self, pattern):
        line = await self.server.hears(re.compile(pattern))
        return int(re.search(pattern, line).group(1))

    async def __aexit__(self, *_):
        for client in self.clients:
            if client.process.returncode is None:
                client.process.kill()
                await client.process.wait()
        self.server.process.terminate()
        status = await patiently("the server stops", self.server.process.wait())
        shutil.rmtree(self.folder, ignore_errors=True)
        assert status == 0, f"the server ended with status {status}"

    @property
    def certificate(self):
        return self.folder / "whoelse-data" / "certificate.pem"

    async def client(self, name, waits=False):
        """Our own client, logged in.

        Unless something waits for it, it has asked a question and heard the answer: what is sent
        to it from then on comes at once, and so without a time.
        """
        state = self.folder / f"client-{next(self.numbers)}"
        client = await Program.start("client", self.port, "--state-dir", state, cwd=self.folder)
        self.clients.append(client)
        await client.hears("Username:")
        client.says(name)
        await client.hears("Password:")
        client.says(password(name))
        await client.hears("Welcome")
        if not waits:
            client.says("history nobody")
            await client.hears("no messages with nobody")
        return client


async def run_all():
    """Runs every check in a world of its own; returns whether all of them passed."""
    # What slixmpp leaves undone when it is cut off is of no interest here.
    for library in ("asyncio", "slixmpp"):
        logging.getLogger(library).setLevel(logging.CRITICAL + 1)
    only = sys.argv[1:]
    began = time.monotonic()
    places = asyncio.Semaphore(AT_ONCE)

    async def passes(name, function, settings):
        async with places:
            return await run_one(name, function, World(settings))

    named = [(it.__name__.replace("_", " "), it, settings) for it, settings in CHECKS]
    chosen = [one for one in named if not only or any(word in one[0] for word in only)]
    results = await asyncio.gather(*(passes(*one) for one in chosen))
    passed, took = sum(results), time.monotonic() - began
    print(f"{passed} passed, {len(results) - passed} failed in {took:.0f} s", flush=True)
    return 0 < passed == len(results)


async def run_one(name, function, world):
    start = time.monotonic()
    try:
        async with world:
            await function(world)
    except Exception:
        print(f"FAILED {name}", flush=True)
        traceback.print_exc()
        if world.server:
            print("\n".join(world.server.lines), flush=True)
        return False
    print(f"ok     {name} ({time.monotonic() - start:.1f} s)", flush=True)
    return True
