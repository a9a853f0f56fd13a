"""slixmpp, a library that many bots and some clients are made with."""

import asyncio
import re

import slixmpp
from slixmpp.exceptions import IqError

from slixmpp_person import OTHER, PICTURE, Person, avatar_of, hash_of, listen, sets_avatar, told
from world import check, password, patiently

COMMANDS = "urn:whoelse:commands:0#"
ADMIN = "http://jabber.org/protocol/admin#"


@check
async def slixmpp_logs_in_over_starttls_with_scram(world):
    alice = await Person(world, "alice", direct=False).online()
    # The bound variant where its Python can tell it the channel binding of TLS 1.3.
    mechanism = alice["feature_mechanisms"].mech.name
    assert mechanism in ("SCRAM-SHA-512", "SCRAM-SHA-512-PLUS"), mechanism
    assert alice.socket.version() == "TLSv1.3", alice.socket.version()
    assert alice.boundjid.bare == "alice@localhost"
    await alice.leave()


@check
async def slixmpp_logs_in_as_it_is_where_starttls_is_offered(world):
    alice = Person(world, "alice")
    assert alice.enable_direct_tls and alice.enable_starttls
    await alice.online()
    mechanism = alice["feature_mechanisms"].mech.name
    assert mechanism in ("SCRAM-SHA-512", "SCRAM-SHA-512-PLUS"), mechanism
    assert "starttls" not in alice.features, alice.features
    await alice.leave()


@check(contacts="everyone")
async def slixmpp_logs_in_over_direct_tls(world):
    alice = await Person(world, "alice", direct=True).online()
    bob = await Person(world, "bob", direct=False).online()

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
    # It tries one mechanism after the other, until the server has had enough.
    await alice.until("failed_auth")
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


# ---- where people ask before they see each other ----


async def agree(alice, bob):
    """Alice asks, bob allows it and asks in turn, alice allows that."""
    alice.send_presence_subscription(pto="bob@localhost", ptype="subscribe")
    await bob.sees("alice", "subscribe")
    bob.send_presence_subscription(pto="alice@localhost", ptype="subscribed")
    await alice.sees("bob", "subscribed")
    await alice.sees("bob", "available")
    bob.send_presence_subscription(pto="alice@localhost", ptype="subscribe")
    await alice.sees("bob", "subscribe")
    alice.send_presence_subscription(pto="bob@localhost", ptype="subscribed")
    await bob.sees("alice", "subscribed")
    await bob.sees("alice", "available")


def standing(roster, name):
    item = roster[f"{name}@localhost"]
    return item["subscription"]


@check(contacts="roster")
async def slixmpp_asks_allows_and_sees_who_comes_and_goes(world):
    alice = await Person(world, "alice").online()
    bob = await Person(world, "bob").online()
    carol = await Person(world, "carol").online()
    await agree(alice, bob)

    await alice.get_roster()
    await bob.get_roster()
    assert standing(alice.client_roster, "bob") == "both"
    assert standing(bob.client_roster, "alice") == "both"
    # Carol has asked nobody, and knows of nobody.
    await carol.get_roster()
    assert "alice@localhost" not in carol.client_roster
    await bob.leave()
    await alice.sees("bob", "unavailable")
    bob = await Person(world, "bob").online()
    await alice.sees("bob", "available")
    assert carol.presences.empty() or not [
        it for it in carol.presences._queue if it["from"].bare != "carol@localhost"
    ]

    # Names and groups, told to every device that has asked for the roster.
    await alice.update_roster("bob@localhost", name="Bobby", groups=["work"])
    phone = Person(world, "alice")
    phone.go()
    await phone.until("session_start")
    await phone.get_roster()
    item = phone.client_roster["bob@localhost"]
    assert (item["name"], item["groups"]) == ("Bobby", ["work"]), item
    await alice.del_roster_item("bob@localhost")
    await phone.pushed("bob", lambda item: item["subscription"] == "remove")
    await bob.sees("alice", "unavailable")
    for person in (alice, bob, carol, phone):
        await person.leave()


@check(contacts="roster")
async def slixmpp_asks_with_the_version_of_the_roster_it_knows(world):
    alice = await Person(world, "alice").online()
    bob = await Person(world, "bob").online()
    await agree(alice, bob)
    version = alice.client_roster.version
    assert version

    def ask(ver):
        iq = alice.make_iq_get()
        iq["roster"]["ver"] = ver
        return iq.send()

    # What it knows is what there is: an empty answer.
    same = await ask(version)
    assert same.xml.find("{jabber:iq:roster}query") is None, same
    everything = await ask("")
    assert list(everything["roster"]["items"]) == ["bob@localhost"], everything
    await alice.update_roster("bob@localhost", name="Bobby")
    await alice.pushed("bob", lambda item: item["name"] == "Bobby")
    assert alice.client_roster.version != version
    # What it has missed comes as a push behind an empty answer.
    missed = await ask(version)
    assert missed.xml.find("{jabber:iq:roster}query") is None, missed
    await alice.pushed("bob", lambda item: item["name"] == "Bobby")
    await alice.leave()
    await bob.leave()


@check(contacts="roster")
async def slixmpp_and_our_client_ask_each_other(world):
    alice = await Person(world, "alice").online()
    bob = await world.client("bob")

    bob.says("add alice")
    await alice.sees("bob", "subscribe")
    alice.send_presence_subscription(pto="bob@localhost", ptype="subscribed")
    await bob.hears("* alice lets you see when they are online")
    await bob.hears("* alice logged in")
    alice.send_presence_subscription(pto="bob@localhost", ptype="subscribe")
    await bob.hears("* alice asks to see when you are online: allow alice, or deny alice")
    bob.says("allow alice")
    presence = await alice.sees("bob", "available")
    bob.says("contacts")
    await bob.hears("alice  online")
    # What our client says it can do is what it does, by slixmpp's reckoning of the hash.
    info = await alice["xep_0030"].get_info(presence["from"])
    assert "urn:xmpp:ping" in info["disco_info"]["features"], info
    told = presence.xml.find("{http://jabber.org/protocol/caps}c").get("ver")
    assert alice["xep_0115"].generate_verstring(info["disco_info"], "sha-1") == told, info
    assert await bob.end() == 0
    await alice.sees("bob", "unavailable")
    await alice.leave()


@check(contacts="everyone")
async def slixmpp_hears_on_one_device_what_another_says(world):
    desk = await Person(world, "alice").online()
    phone = await Person(world, "alice").online()
    await phone["xep_0280"].enable()
    bob = await world.client("bob")
    copies = {"sent": asyncio.Queue(), "received": asyncio.Queue()}
    for kind, queue in copies.items():
        phone.add_event_handler(f"carbon_{kind}", queue.put_nowait)

    desk.chat("bob", "from my desk")
    await bob.hears("alice: from my desk")
    copy = await patiently("the copy", copies["sent"].get())
    assert copy["carbon_sent"]["body"] == "from my desk", copy
    # To one device alone; the other gets a copy.
    phone_address = desk.boundjid.full
    carol = await Person(world, "carol").online()
    carol.send_message(mto=phone_address, mbody="to one of them", mtype="chat")
    await desk.text("carol", "to one of them")
    copy = await patiently("the copy", copies["received"].get())
    assert copy["carbon_received"]["body"] == "to one of them", copy
    for person in (desk, phone, carol):
        await person.leave()


@check(contacts="everyone")
async def slixmpp_sets_an_avatar_that_old_and_new_clients_see(world):
    alice, bob = Person(world, "alice", more=[84]), Person(world, "bob", more=[84])
    carol = Person(world, "carol", more=[54, 153])
    listen(bob, "avatar_metadata_publish")
    listen(carol, "vcard_avatar_update")
    for person in (alice, bob, carol):
        await person.online()

    await sets_avatar(alice, PICTURE, "image/png")
    info, data = await avatar_of(bob, "alice")
    assert (info["id"], data) == (hash_of(PICTURE), PICTURE), (info, data)
    presence = await told(
        carol,
        "vcard_avatar_update",
        lambda it: it["from"].bare == "alice@localhost"
        and it["vcard_temp_update"]["photo"] == hash_of(PICTURE),
    )
    assert presence["from"].resource == alice.boundjid.resource, presence
    card = await carol["xep_0054"].get_vcard("alice@localhost")
    assert card["vcard_temp"]["PHOTO"]["BINVAL"] == PICTURE, card
    for person in (alice, bob, carol):
        await person.leave()


@check(contacts="everyone")
async def slixmpp_sets_a_photo_in_a_vcard_that_new_clients_see(world):
    alice, bob = Person(world, "alice", more=[84]), Person(world, "bob", more=[54, 153])
    listen(alice, "avatar_metadata_publish")
    for person in (alice, bob):
        await person.online()

    await bob["xep_0153"].set_avatar(avatar=OTHER, mtype="image/gif")

    info, data = await avatar_of(alice, "bob")
    about = (info["id"], info["type"], data)
    assert about == (hash_of(OTHER), "image/gif", OTHER), about
    for person in (alice, bob):
        await person.leave()


@check
async def slixmpp_writes_bookmarks_in_one_form_and_reads_them_in_the_others(world):
    alice = await Person(world, "alice", more=[48, 402]).online()
    old, pubsub = alice["xep_0048"], alice["xep_0060"]

    def bookmarks(*rooms):
        listed = old.stanza.Bookmarks()
        for room, name in rooms:
            listed.add_conference(room, "me", name=name, autojoin=True)
        return listed

    async def read():
        private = (await old.get_bookmarks(method="xep_0049"))["private"]["bookmarks"]
        node = await old.get_bookmarks(method="xep_0223")
        node = node["pubsub"]["items"]["item"]["bookmarks"]
        items = await pubsub.get_items("alice@localhost", "urn:xmpp:bookmarks:1")
        items = [(item["id"], item["conference"]) for item in items["pubsub"]["items"]]
        forms = [
            {str(it["jid"]): (it["name"], it["nick"], it["autojoin"]) for it in form["conferences"]}
            for form in (private, node)
        ]
        forms.append({room: (it["name"], it["nick"], it["autojoin"]) for room, it in items})
        return forms

    def words(*rooms):
        return [{room: (name, "me", True) for room, name in rooms}] * 3

    one, two, three = ("one@x.lit", "One"), ("two@x.lit", "Two"), ("three@x.lit", "Three")
    await old.set_bookmarks(bookmarks(one, two), method="xep_0049")
    assert await read() == words(one, two), await read()
    await old.set_bookmarks(bookmarks(two, three), method="xep_0223")
    assert await read() == words(two, three), await read()
    conference = alice["xep_0402"].stanza.Conference()
    conference["name"], conference["nick"], conference["autojoin"] = "Zwei", "me", True
    await pubsub.publish("alice@localhost", "urn:xmpp:bookmarks:1", "two@x.lit", payload=conference)
    await pubsub.retract("alice@localhost", "urn:xmpp:bookmarks:1", "three@x.lit", notify=True)
    assert await read() == words(("two@x.lit", "Zwei")), await read()
    await alice.leave()


@check(contacts="everyone", admins=["alice"])
async def slixmpp_administers_by_ad_hoc_commands(world):
    alice = await Person(world, "alice").online()
    bob = await Person(world, "bob").online()
    items = await alice["xep_0050"].get_commands("localhost")
    nodes = {node for _, node, _ in items["disco_items"]["items"]}
    assert ADMIN + "add-user" in nodes, nodes
    mine = await bob["xep_0050"].get_commands("localhost")
    assert not [node for _, node, _ in mine["disco_items"]["items"] if node.startswith(ADMIN)]

    form = await alice["xep_0050"].send_command("localhost", ADMIN + "add-user")
    assert form["command"]["status"] == "executing", form
    filled = alice["xep_0004"].make_form(ftype="submit")
    filled.add_field(var="FORM_TYPE", ftype="hidden", value="http://jabber.org/protocol/admin")
    filled.add_field(var="accountjid", value="erin@localhost")
    filled.add_field(var="password", value=password("erin"))
    filled.add_field(var="password-verify", value=password("erin"))
    done = await alice["xep_0050"].send_command(
        "localhost",
        ADMIN + "add-user",
        action="complete",
        payload=filled,
        sessionid=form["command"]["sessionid"],
    )
    assert done["command"]["status"] == "completed", done
    erin = await Person(world, "erin").online()
    await erin.leave()
    try:
        await bob["xep_0050"].send_command("localhost", ADMIN + "add-user")
        raise AssertionError("bob is no administrator")
    except IqError as error:
        assert error.iq["error"]["condition"] == "forbidden", error.iq
    await alice.leave()
    await bob.leave()
