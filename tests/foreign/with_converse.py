"""Converse.js, a client for browsers, in Debian's Chromium: over WebSockets and BOSH."""

import asyncio
import base64
import functools
import http.server
import os
import re
import threading
from pathlib import Path
from urllib.parse import urlencode

from browser import Browser
from slixmpp_person import OTHER, PICTURE, avatar_of, hash_of, listen, sets_avatar
from slixmpp_person import Person as AtSlixmpp
from with_web import urls
from world import ROOT, check, password, patiently

# `run` has put the page into the npm package.
PACKAGE = ROOT / "target" / "foreign-converse" / "package"
# A place for pictures of what a browser has shown, for whoever wants to look.
PICTURES = os.environ.get("WHOELSE_PICTURES")

WEB = {"web.listen": ["127.0.0.1:0"]}


class Pages:
    """The page and the package, as any web server would serve them."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    def __enter__(self):
        handler = functools.partial(self.Quiet, directory=PACKAGE)
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=self.server.serve_forever).start()
        return f"http://127.0.0.1:{self.server.server_port}/converse.html"

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()


class Wire:
    """What lies between the browser and the server: it can be cut and mended.

    Whoever connects while it is cut gets no answer until it is mended.
    """

    def __init__(self, port):
        self.far_port = port
        self.whole = asyncio.Event()
        self.whole.set()
        # Whoever has come since the last cut.
        self.came = asyncio.Event()
        self.ends = set()

    async def __aenter__(self):
        self.server = await asyncio.start_server(self._carry, "127.0.0.1", 0)
        self.port = self.server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_):
        self.server.close()
        self.cut()

    def cut(self):
        self.whole.clear()
        self.came.clear()
        for end in self.ends:
            end.transport.abort()
        self.ends.clear()

    def mend(self):
        self.whole.set()

    async def _carry(self, reader, writer):
        self.came.set()
        await self.whole.wait()
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.far_port)
        ends = {writer, far_writer}
        self.ends |= ends
        await asyncio.gather(pass_on(reader, far_writer), pass_on(far_reader, writer))
        self.ends -= ends


async def pass_on(reader, writer):
    try:
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    writer.close()


class Person:
    """Somebody at Converse."""

    def __init__(self, browser):
        self.browser = browser

    async def logs_in(self, name):
        self.name = name
        await self.browser.types("input[name=jid]", f"{name}@localhost")
        await self.browser.types("input[name=password]", password(name))
        await self.browser.clicks("input[type=submit], button[type=submit]")

    async def opens_a_chat(self, name):
        await self.browser.clicks(".roster-contacts .list-item-link", name)
        await self.browser.sees("textarea.chat-textarea")

    async def writes(self, text):
        await self.browser.types("textarea.chat-textarea", text + "\n")

    async def enters(self, room):
        """Enters a room by the own name, as the dialog for it says."""
        await self.browser.clicks("converse-rooms-list .dropdown-toggle")
        await self.browser.clicks(".show-add-muc-modal")
        await self.browser.types("converse-add-muc-modal input[name=chatroom]", room)
        await self.browser.types("converse-add-muc-modal input[name=nickname]", self.name)
        await self.browser.clicks("converse-add-muc-modal input[name=join]")
        await self.browser.sees("textarea.chat-textarea")

    async def sees_in_the_room(self, nick):
        await self.browser.sees("converse-muc-sidebar .occupant-nick", nick)

    async def reads_a_notice(self, text):
        await self.browser.sees(".chat-info", text)

    async def shows_a_picture(self, path):
        """Takes this file for an avatar."""
        await self.browser.clicks(".show-profile")
        await self.browser.sees("converse-profile-modal .change-avatar")
        await self.browser.attaches("input[name=avatar_image]", path)
        # The picture as it will be.
        await self.browser.sees("converse-profile-modal .change-avatar image")
        await self.browser.clicks("#profile-tabpanel [type=submit]")

    async def sees_the_picture_of(self, name, image, kind):
        """Waits until the contact of this name has this avatar."""
        href = f"data:{kind};base64,{base64.b64encode(image).decode()}"
        contact = f'.roster-contacts .list-item-link[data-jid="{name}@localhost"]'
        await self.browser.sees(f'{contact} image[href="{href}"]')

    async def reads(self, text):
        """Waits until a message says this; there is no second one that does."""
        messages = "converse-chat-message-body"
        await self.browser.sees(messages, text)
        said = await self.browser.texts(messages)
        assert sum(text in one for one in said) == 1, said


async def begins_a_chat(world, alice, over):
    """Alice, at Converse, and bob, at our own client, greet each other."""
    bob = await world.client("bob")
    await alice.logs_in("alice")
    await bob.hears("* alice logged in")
    await alice.opens_a_chat("bob")
    await alice.writes(f"over {over}, it's <me>")
    await bob.hears(f"alice: over {over}, it's <me>")
    bob.says(f"message alice hello & welcome to {over}")
    await alice.reads(f"hello & welcome to {over}")
    return bob


async def survives_a_cut(alice, bob, wire, how):
    """Bob writes while the wire is cut; once it is mended, alice reads it, and answers."""
    wire.cut()
    bob.says(f"message alice while you were away {how}")
    # An answer to what he has asked after it: by then the server has it.
    bob.says("history nobody")
    await bob.hears("no messages with nobody")
    await patiently("Converse connects again", wire.came.wait())
    wire.mend()
    await alice.reads(f"while you were away {how}")
    await alice.writes(f"back {how}")
    await bob.hears(f"alice: back {how}")


async def at_converse(world, over, act):
    """What alice does there, over `websocket_url` or `bosh_service_url`."""
    with Pages() as page:
        async with Wire(world.web_port) as wire, Browser() as browser:
            websocket, bosh = urls("tls", wire.port)
            service = {"websocket_url": websocket, "bosh_service_url": bosh}[over]
            try:
                await browser.opens(f"{page}?{urlencode({over: service})}")
                await act(Person(browser), wire)
            except AssertionError:
                print("\n".join(await browser.console()), flush=True)
                raise
            finally:
                if PICTURES:
                    of = act.__qualname__.split(".")[0]
                    await browser.screenshot(Path(PICTURES) / f"{of}.png")


@check(**WEB)
async def converse_chats_over_a_websocket_and_survives_cut_wires(world):
    async def act(alice, wire):
        bob = await begins_a_chat(world, alice, "a WebSocket")
        # It resumes a session once, and begins a new one after a second cut.
        await survives_a_cut(alice, bob, wire, "once")
        await world.server.hears(re.compile("session_resumed .*alice@localhost"))
        await survives_a_cut(alice, bob, wire, "twice")
        await world.server.hears(re.compile("session_bound .*alice@localhost"))

    await at_converse(world, "websocket_url", act)


@check(**WEB)
async def converse_chats_over_bosh_and_survives_a_cut_wire(world):
    async def act(alice, wire):
        bob = await begins_a_chat(world, alice, "BOSH")
        await survives_a_cut(alice, bob, wire, "once")

    await at_converse(world, "bosh_service_url", act)


@check(**WEB)
async def converse_sets_an_avatar_that_others_see_and_sees_theirs(world):
    """It knows vCards and the hash in presence alone; bob knows nodes alone."""
    picture = world.folder / "picture.png"
    picture.write_bytes(PICTURE)
    bob = AtSlixmpp(world, "bob", more=[84])
    listen(bob, "avatar_metadata_publish")
    await bob.online()

    async def act(alice, _):
        await alice.logs_in("alice")
        await alice.shows_a_picture(picture)
        info, data = await avatar_of(bob, "alice")
        # It is free to encode it anew.
        assert (info["id"], info["type"]) == (hash_of(data), "image/png"), info

        await sets_avatar(bob, OTHER, "image/gif")
        await alice.sees_the_picture_of("bob", OTHER, "image/gif")

    await at_converse(world, "websocket_url", act)
    await bob.leave()
