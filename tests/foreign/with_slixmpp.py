"""slixmpp, a library that many bots and some clients are made with."""

import asyncio
import re

import slixmpp
from slixmpp.exceptions import IqError

from world import check, password, patiently

COMMANDS = "urn:whoelse:commands:0#"


class Person(slixmpp.ClientXMPP):
    """A client with everything that the server and slixmpp have in common."""

    def __init__(self, world, name, secret=None, direct=False):
        super().__init__(f"{name}@localhost", secret or password(name))
        self.world = world
        self.port = world.direct_port if direct else world.port
        self.enable_direct_tls = direct
        self.enable_starttls = not direct
        self.ca_certs = world.certificate
        for plugin in (30, 4, 50, 59, 77, 92, 191, 198, 199, 202, 203, 313, 359):
            self.register_plugin(f"xep_{plugin:04}")
        # Whoever wants a new account says so; everybody else just logs in.
        self["xep_0077"].create_account = False
        self.messages = asyncio.Queue()
        self.presences = asyncio.Queue()
        self.happened = {}
        for event in ("session_start", "session_resumed", "disconnected", "failed_all_auth"):
            self.happened[event] = asyncio.Queue()
            self.add_event_handler(event, self.happened[event].put_nowait)
        for event in ("message", "message_error"):
            self.add_event_handler(event, self.messages.put_nowait)
        self.add_event_handler("presence", self.presences.put_nowait)

    async def until(self, event):
        return await patiently(event, self.happened[event].get())

    def go(self):
        # The system's trust is not asked: the certificate of this server is all that is trusted.
        self.connect("127.0.0.1", self.port)

    async def online(self):
        self.go()
        await self.until("session_start")
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
                    return

        await patiently(f"{name} is {kind}", wait())

    async def leave(self):
        self.disconnect()
        await self.until("disconnected")

    def chat(self, name, text):
        self.send_message(mto=f"{name}@localhost", mbody=text, mtype="chat")


@check
async def slixmpp_logs_in_over_starttls_with_scram(world):
    alice = await Person(world, "alice").online()
    # The bound variant where its Python can tell it the channel binding of TLS 1.3.
    mechanism = alice["feature_mechanisms"].mech.name
    assert mechanism in ("SCRAM-SHA-256", "SCRAM-SHA-256-PLUS"), mechanism
    assert alice.socket.version() == "TLSv1.3", alice.socket.version()
    assert alice.boundjid.bare == "alice@localhost"
    await alice.leave()


@check(contacts="everyone")
async def slixmpp_logs_in_over_direct_tls(world):
    alice = await Person(world, "alice", direct=True).online()
    bob = await Person(world, "bob").online()

    await alice.sees("bob", "available")
    bob.chat("alice", "over STARTTLS")
    await alice.text("bob", "over STARTTLS")
    alice.chat("bob", "over direct TLS")
    await bob.text("alice", "over direct TLS")
    await alice.leave()
    await bob.sees("alice", "unavailable")
    await bob.leave()


@check
async def slixmpp_is_told_that_a_password_is_wrong(world):
    alice = Person(world, "alice", "not her password")
    alice.go()
    await alice.until("failed_all_auth")
    alice.abort()


@check
async def slixmpp_makes_a_new_account(world):
    dave = Person(world, "dave", "a new secret")
    registered = asyncio.get_running_loop().create_future()

    async def register(form):
        wish = dave.make_iq_set()
        wish["register"]["username"] = "dave"
        wish["register"]["password"] = "a new secret"
        try:
            await wish.send()
            registered.set_result(True)
        except IqError as error:
            registered.set_exception(error)

    dave["xep_0077"].create_account = True
    dave["xep_0077"].force_registration = True
    dave.add_event_handler("register", register)
    await dave.online()
    await patiently("the registration", registered)

    bob = await world.client("bob")
    dave.chat("bob", "hello from the new one")
    await bob.hears("dave: hello from the new one")
    await dave.leave()
    assert await bob.end() == 0


@check
async def slixmpp_and_our_client_chat_and_see_each_other(world):
    alice = await Person(world, "alice").online()
    bob = await world.client("bob")
    await alice.sees("bob", "available")
    carol = await Person(world, "carol").online()
    await alice.sees("carol", "available")
    await bob.hears("* carol logged in")

    bob.says("message alice grüße <&> 你好")
    await alice.text("bob", "grüße <&> 你好")
    alice.chat("bob", "and back <&> 👍🏽")
    await bob.hears("alice: and back <&> 👍🏽")
    alice.chat("carol", "to another library")
    await carol.text("alice", "to another library")
    carol.chat("alice", "and back")
    await alice.text("carol", "and back")
    bob.says("broadcast to all of you")
    await alice.text("bob", "to all of you")
    await carol.text("bob", "to all of you")

    await carol.leave()
    await alice.sees("carol", "unavailable")
    await bob.hears("* carol logged out")
    assert await bob.end() == 0
    await alice.sees("bob", "unavailable")
    await alice.leave()


@check
async def slixmpp_gets_what_came_while_it_was_away_in_order_with_times(world):
    bob = await world.client("bob")
    for number in range(5):
        bob.says(f"message alice {number}")
    assert await bob.end() == 0

    alice = await Person(world, "alice").online()
    for number in range(5):
        message = await alice.text("bob", str(number))
        assert message["delay"]["stamp"], message
    await alice.leave()
    # And the other way round.
    alice = await Person(world, "alice").online()
    alice.chat("bob", "for later")
    await alice["xep_0199"].ping("localhost")
    await alice.leave()
    bob = await world.client("bob", waits=True)
    await bob.hears(re.compile(r"^\[\d{4}-\d\d-\d\d \d\d:\d\d\] alice: for later$"))


@check
async def slixmpp_blocks_and_unblocks(world):
    alice = await Person(world, "alice").online()
    bob = await world.client("bob")
    await alice.sees("bob", "available")

    await alice["xep_0191"].block("bob@localhost")
    await bob.hears("* alice logged out")
    bob.says("message alice hello")
    await bob.hears("alice has blocked you")
    blocked = await alice["xep_0191"].get_blocked_jids()
    assert {jid.bare for jid in blocked} == {"bob@localhost"}, blocked

    await alice["xep_0191"].unblock("bob@localhost")
    await bob.hears("* alice logged in")
    bob.says("message alice hello again")
    await alice.text("bob", "hello again")
    # The other side blocks: slixmpp is told so.
    bob.says("block alice")
    await bob.hears("alice is blocked")
    alice.chat("bob", "hello?")
    refused = await patiently("the refusal", alice.messages.get())
    assert refused["type"] == "error", refused
    assert refused["error"]["condition"] == "service-unavailable", refused
    await alice.leave()


@check
async def slixmpp_pages_through_the_archive(world):
    alice = await Person(world, "alice").online()
    bob = await world.client("bob")
    for number in range(25):
        bob.says(f"message alice {number}")
        await alice.text("bob", str(number))
    alice.chat("carol", "not with bob")
    alice.chat("bob", "the last")
    await bob.hears("alice: the last")

    pages = alice["xep_0313"].retrieve(
        with_jid=slixmpp.JID("bob@localhost"), iterator=True, rsm={"max": 10}
    )
    found, count = [], 0
    async for page in pages:
        count += 1
        for result in page["mam"]["results"]:
            found.append(result["mam_result"]["forwarded"]["stanza"]["body"])
    assert found == [*map(str, range(25)), "the last"], found
    assert count == 3, count
    await alice.leave()


@check
async def slixmpp_discovers_pings_and_asks_for_version_and_time(world):
    alice = await Person(world, "alice").online()
    info = await alice["xep_0030"].get_info("localhost")
    features = info["disco_info"]["features"]
    for feature in (
        "http://jabber.org/protocol/disco#info",
        "http://jabber.org/protocol/commands",
        "urn:xmpp:blocking",
        "urn:xmpp:ping",
        "urn:xmpp:time",
        "jabber:iq:version",
    ):
        assert feature in features, (feature, features)
    account = await alice["xep_0030"].get_info("alice@localhost")
    assert "urn:xmpp:mam:2" in account["disco_info"]["features"], account
    assert await alice["xep_0199"].ping("localhost") < 5
    version = await alice["xep_0092"].get_version("localhost")
    assert version["software_version"]["name"] == "whoelse", version
    time = await alice["xep_0202"].get_entity_time("localhost")
    # slixmpp adds another Z to the time before it reads it, so it is looked at as it came.
    utc = time.xml.findtext(".//{urn:xmpp:time}utc")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+Z", utc), time
    await alice.leave()


@check
async def slixmpp_runs_our_commands(world):
    alice = await Person(world, "alice").online()
    bob = await world.client("bob")
    await alice.sees("bob", "available")
    items = await alice["xep_0050"].get_commands("localhost")
    nodes = {node for _, node, _ in items["disco_items"]["items"]}
    assert {COMMANDS + "whoelse", COMMANDS + "whoelsesince", COMMANDS + "broadcast"} <= nodes

    answer = await alice["xep_0050"].send_command("localhost", COMMANDS + "whoelse")
    assert answer["command"]["status"] == "completed", answer
    accounts = answer["command"]["form"].get_values()["accounts"]
    assert accounts in ("bob@localhost", ["bob@localhost"]), accounts
    # This one asks first.
    form = await alice["xep_0050"].send_command("localhost", COMMANDS + "broadcast")
    assert form["command"]["status"] == "executing", form
    filled = alice["xep_0004"].make_form(ftype="submit")
    filled.add_field(var="text", value="lunch?")
    done = await alice["xep_0050"].send_command(
        "localhost",
        COMMANDS + "broadcast",
        action="complete",
        payload=filled,
        sessionid=form["command"]["sessionid"],
    )
    assert done["command"]["status"] == "completed", done
    await bob.hears("[broadcast] alice: lunch?")
    await alice.leave()


@check
async def slixmpp_resumes_a_cut_connection_with_nothing_lost(world):
    alice = await Person(world, "alice").online()
    bob = await world.client("bob")
    await alice.sees("bob", "available")
    before = alice.boundjid.full

    alice.abort()
    await alice.until("disconnected")
    for number in range(10):
        bob.says(f"message alice {number}")
    alice.go()
    await alice.until("session_resumed")

    for number in range(10):
        await alice.text("bob", str(number))
    assert alice.boundjid.full == before
    alice.chat("bob", "here I am")
    # Bob did not see her go, so this is the next he hears.
    heard = len(bob.lines)
    await bob.hears("alice: here I am")
    assert not [line for line in bob.lines[:heard] if "alice logged out" in line], bob.lines
    await alice.leave()
