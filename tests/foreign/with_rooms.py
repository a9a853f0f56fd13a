"""A room of ours with slixmpp, Profanity and Converse.js in it."""

from slixmpp import JID
from slixmpp.plugins.xep_0410.self_ping import PingStatus

from slixmpp_person import Person, listen, told
from with_converse import WEB, at_converse
from with_profanity import Profanity
from world import check, patiently

ROOM = "lunch@conference.localhost"


class Owner(Person):
    """Somebody at slixmpp who has a room."""

    def __init__(self, world, name):
        super().__init__(world, name, more=[45, 410])
        self.name = name
        self.muc = self["xep_0045"]
        listen(self, "groupchat_message", "groupchat_presence")

    async def enters(self):
        return await patiently("the room", self.muc.join_muc_wait(JID(ROOM), self.name))

    async def makes_the_room(self):
        """As it begins, but that it stays."""
        await self.enters()
        form = self["xep_0004"].make_form(ftype="submit")
        wished = {
            "FORM_TYPE": "http://jabber.org/protocol/muc#roomconfig",
            "muc#roomconfig_persistentroom": "1",
        }
        for name, value in wished.items():
            form.add_field(var=name, value=value)
        await self.muc.set_room_config(JID(ROOM), form)

    async def says(self, text):
        self.send_message(mto=ROOM, mbody=text, mtype="groupchat")
        await self.reads(self.name, text)

    async def reads(self, nick, text):
        """Waits until somebody has said this to all."""
        return await told(
            self,
            "groupchat_message",
            lambda it: (it["from"], it["body"]) == (f"{ROOM}/{nick}", text),
        )

    async def sees_in_the_room(self, nick, kind):
        """Waits until somebody there comes or goes."""
        return await told(
            self,
            "groupchat_presence",
            lambda it: (it["from"], it["muc"]["role"] == "none") == (f"{ROOM}/{nick}", kind != "in"),
        )

    async def pings_itself(self):
        return await self["xep_0410"].send_self_ping(JID(f"{ROOM}/{self.name}"), self.boundjid)

    async def kicks(self, nick):
        await self.muc.set_role(JID(ROOM), nick, "none", reason="enough")
        await self.sees_in_the_room(nick, "out")


@check(**WEB)
async def three_clients_of_others_share_a_room(world):
    carol = await Owner(world, "carol").online()
    await carol.makes_the_room()
    await carol.says("before all others")
    assert await carol.pings_itself() == PingStatus.JOINED

    async with Profanity(world, "bob") as bob:
        await bob.logs_in()
        await bob.enters(ROOM)
        # What was said before comes with its room.
        await bob.sees("carol: before all others")
        await carol.sees_in_the_room("bob", "in")

        async def act(alice, _):
            await alice.logs_in("alice")
            await alice.enters(ROOM)
            # It asks for no history, and reads the archive of the room.
            await alice.reads("before all others")
            await carol.sees_in_the_room("alice", "in")
            # Its list of who is there.
            await bob.sees(r"(?m)\balice$|\balice\s*$")
            for nick in ("alice", "bob", "carol"):
                await alice.sees_in_the_room(nick)

            await alice.writes("from <alice> & her browser")
            await carol.reads("alice", "from <alice> & her browser")
            await bob.sees("alice: from <alice> & her browser")
            await bob.types("grüße from a terminal")
            await carol.reads("bob", "grüße from a terminal")
            await alice.reads("grüße from a terminal")
            await carol.says("and from a library")
            await bob.sees("carol: and from a library")
            await alice.reads("and from a library")

            await carol.kicks("bob")
            await bob.sees(f"Kicked from {ROOM} by carol, reason: enough")
            await alice.reads_a_notice("bob has been kicked out by carol")
            await bob.enters(ROOM)
            # All of it once more, to whom it is new.
            await bob.sees("(?s)joined the room.*carol: and from a library")
            await carol.sees_in_the_room("bob", "in")

            await carol.kicks("alice")
            await alice.browser.sees(".disconnect-msg", "You have been kicked from this groupchat")
            await bob.sees("alice has been kicked from the room")

        await at_converse(world, "websocket_url", act)
        await bob.types("/close")
        await carol.sees_in_the_room("bob", "out")
    carol.muc.leave_muc(JID(ROOM), "carol")
    await carol.sees_in_the_room("carol", "out")
    assert await carol.pings_itself() == PingStatus.DISCONNECTED
    _, _, _, history = await carol.enters()
    said = [message["body"] for message in history]
    assert said[0] == "before all others" and said[-1] == "and from a library", said
    await carol.leave()
