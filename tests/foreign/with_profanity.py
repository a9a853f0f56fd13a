"""Profanity, a client that people use in terminals."""

import shutil

from screen import Screen
from world import check, password


class Profanity(Screen):
    """One Profanity with settings of its own."""

    def __init__(self, world, name, trusts=False):
        super().__init__(world, f"profanity-{name}")
        self.name = name
        if trusts:
            shutil.copy(world.certificate, self.home / "trusted.pem")

    async def __aenter__(self):
        await self.start("profanity")
        await self.sees("Profanity")
        return self

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

    async def enters(self, room):
        """Enters a room by the own name, and shows it."""
        await self.types(f"/join {room} nick {self.name}")
        await self.sees(f"You have joined the room as {self.name}")


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
        await alice.sees("(?s)chat message: bob.*chat message: bob")
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


@check(contacts="everyone")
async def profanity_logs_in_over_direct_tls_and_verifies_the_certificate(world):
    async with Profanity(world, "alice", trusts=True) as alice:
        await alice.types(
            f"/connect alice@localhost server localhost port {world.direct_port} tls legacy"
        )
        await alice.sees("Enter password:")
        await alice.types(password("alice"))
        screen = await alice.sees(r"alice@localhost/\S+ logged in successfully")
        assert "verification failed" not in screen, screen
        bob = await world.client("bob")
        await alice.sees(r"\+\+ bob .*is online")
        await alice.types("/msg bob@localhost hello over direct TLS")
        await bob.hears("alice: hello over direct TLS")


@check(contacts="roster")
async def profanity_asks_is_allowed_and_allows(world):
    async with Profanity(world, "alice") as alice:
        await alice.logs_in()
        bob = await world.client("bob")

        await alice.types("/sub request bob@localhost")
        await bob.hears("* alice asks to see when you are online: allow alice, or deny alice")
        bob.says("allow alice")
        await alice.sees(r"\+\+ bob\S* .*is online")
        bob.says("add alice")
        await alice.sees("(?i)bob@localhost.*subscription|subscription.*request")
        await alice.types("/sub allow bob@localhost")
        await bob.hears("* alice logged in")
        await alice.types("/msg bob@localhost now we see each other")
        await bob.hears("alice: now we see each other")
        await alice.types("/roster remove bob@localhost")
        await bob.hears("* alice logged out")


@check
async def profanity_encrypts_for_profanity_with_omemo(world):
    async with Profanity(world, "alice") as alice, Profanity(world, "bob") as bob:
        for person in (alice, bob):
            await person.logs_in()
            # Without the server's features, which it has asked for before, it publishes its keys for
            # contacts alone, and asks for them to be open again and again by a form that says not so.
            await person.types("/disco info localhost")
            await person.sees("http://jabber.org/protocol/caps")
            # Whoever is met for the first time is trusted.
            await person.types("/omemo trustmode blind")
            await person.types("/omemo gen")
        # Each has heard which devices the other has.
        await alice.sees("Blind trust for bob@localhost device")
        await bob.sees("Blind trust for alice@localhost device")
        await alice.types("/msg bob@localhost")
        await alice.types("/omemo start")
        await alice.sees(r"bob .*\[OMEMO\]")
        await alice.types("for your eyes alone")
        await bob.sees("chat message: alice")
        await bob.types("/win 2")
        await bob.sees("for your eyes alone")
        await bob.types("and this for yours")
        await alice.sees("and this for yours")
