"""Somebody at slixmpp, a library that many bots and some clients are made with."""

import asyncio
import base64
import hashlib

import slixmpp

from world import password, patiently

PICTURE = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
OTHER = b"GIF89a\x01\x00\x01\x00\x00\xff\x00,\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x00;"


def hash_of(picture):
    return hashlib.sha1(picture).hexdigest()


class Person(slixmpp.ClientXMPP):
    """A client with everything that the server and slixmpp have in common."""

    def __init__(self, world, name, secret=None, direct=None, more=()):
        super().__init__(f"{name}@localhost", secret or password(name))
        self.world = world
        # Unless it is told otherwise, slixmpp tries TLS first on whatever port it is given.
        self.port = world.direct_port if direct else world.port
        if direct is not None:
            self.enable_direct_tls = direct
            self.enable_starttls = not direct
        self.ca_certs = world.certificate
        for plugin in (30, 4, 50, 59, 77, 92, 115, 191, 198, 199, 202, 203, 280, 313, 359, *more):
            self.register_plugin(f"xep_{plugin:04}")
        # Whoever wants a new account says so; everybody else just logs in.
        # Nobody is let in, or asked back, without the test saying so.
        self.roster.auto_authorize = None
        self.roster.auto_subscribe = False
        self["xep_0077"].create_account = False
        self.messages = asyncio.Queue()
        self.presences = asyncio.Queue()
        self.pushes = asyncio.Queue()
        self.happened = {}
        for event in ("session_start", "session_resumed", "disconnected", "failed_auth"):
            self.happened[event] = asyncio.Queue()
            self.add_event_handler(event, self.happened[event].put_nowait)
        for event in ("message", "message_error"):
            self.add_event_handler(event, self.messages.put_nowait)
        self.add_event_handler("presence", self.presences.put_nowait)
        self.add_event_handler("roster_update", self.note_push)

    def note_push(self, update):
        # The answer to a question for the whole roster is an update, too.
        if update["type"] == "set":
            self.pushes.put_nowait(update)

    async def until(self, event):
        return await patiently(event, self.happened[event].get())

    def go(self):
        # The system's trust is not asked: the certificate of this server is all that is trusted.
        self.connect("127.0.0.1", self.port)

    async def online(self):
        self.go()
        await self.until("session_start")
        await self.get_roster()
        self.send_presence()
        return self

    async def text(self, sender, text):
        """The next message, which must be this one."""
        message = await patiently(text, self.messages.get())
        assert message["from"].bare == f"{sender}@localhost", message
        assert message["body"] == text, message
        return message

    async def sees(self, name, kind):
        """Waits until somebody comes or goes."""

        async def wait():
            while True:
                presence = await self.presences.get()
                if (presence["from"].bare, presence["type"]) == (f"{name}@localhost", kind):
                    return presence

        return await patiently(f"{name} is {kind}", wait())

    async def pushed(self, name, fits):
        """Waits until the server tells that somebody in the roster has changed like this."""

        async def wait():
            while True:
                push = await self.pushes.get()
                for jid, item in push["roster"]["items"].items():
                    if jid == f"{name}@localhost" and fits(item):
                        return

        await patiently(f"a push about {name}", wait())

    async def leave(self):
        self.disconnect()
        await self.until("disconnected")

    def chat(self, name, text):
        self.send_message(mto=f"{name}@localhost", mbody=text, mtype="chat")


async def told(person, event, fits):
    """Waits for an event of a plugin that fits."""
    queue = person.happened.setdefault(event, asyncio.Queue())

    async def wait():
        while True:
            happened = await queue.get()
            if fits(happened):
                return happened

    return await patiently(event, wait())


def listen(person, *events):
    for event in events:
        person.happened[event] = asyncio.Queue()
        person.add_event_handler(event, person.happened[event].put_nowait)


async def sets_avatar(person, image, kind):
    """Publishes an avatar at its nodes (XEP-0084)."""
    await person["xep_0084"].publish_avatar(image)
    about = {"id": hash_of(image), "type": kind, "bytes": len(image)}
    await person["xep_0084"].publish_avatar_metadata(about)


async def avatar_of(person, name):
    """What is told of somebody's next avatar at its nodes (XEP-0084), and the image."""
    whose = f"{name}@localhost"
    event = await told(person, "avatar_metadata_publish", lambda it: it["from"].bare == whose)
    info = event["pubsub_event"]["items"]["item"]["avatar_metadata"]["info"]
    item = await person["xep_0084"].retrieve_avatar(whose, info["id"])
    return info, item["pubsub"]["items"]["item"]["avatar_data"]["value"]
