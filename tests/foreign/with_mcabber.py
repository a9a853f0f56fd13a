"""mcabber, a small client for terminals, with certificates checked by GnuTLS."""

from screen import Screen
from world import check, password


class Mcabber(Screen):
    """One mcabber with a configuration of its own."""

    def __init__(self, world, name, direct=False):
        super().__init__(world, f"mcabber-{name}")
        self.name = name
        self.settings = self.home / "mcabberrc"
        tls = "ssl" if direct else "tls"
        port = world.direct_port if direct else world.port
        self.settings.write_text(
            f"set jid = {name}@localhost\n"
            f"set password = {password(name)}\n"
            f"set server = localhost\n"
            f"set port = {port}\n"
            f"set {tls} = 1\n"
            # Verified: this authority, and no other.
            f"set ssl_ca = {world.certificate}\n"
            "set beep_on_message = 0\n"
        )
        self.settings.chmod(0o600)

    async def opens_unread(self):
        """Selects whoever has written, and shows what they wrote."""
        await self.sees("#.*bob")
        await self.types("/roster unread_next")
        await self.types("")

    async def __aenter__(self):
        await self.start("mcabber", "-f", str(self.settings))
        await self.sees("MCabber version")
        await self.sees(rf"\{{o\}} {self.name}@localhost")
        return self


async def they_chat(alice, bob):
    """The two see each other and talk."""
    await alice.sees(r"[\[(]o[\])] bob")
    await alice.types("/say_to bob@localhost hello from mcabber")
    await bob.hears("alice: hello from mcabber")
    bob.says("message alice grüße, and back <&>")
    await alice.opens_unread()
    await alice.sees("grüße, and back <&>")
    assert await bob.end() == 0
    await alice.sees(r"[\[(]_[\])] bob")


@check
async def mcabber_and_our_client_chat_and_see_each_other_over_starttls(world):
    async with Mcabber(world, "alice") as alice:
        await they_chat(alice, await world.client("bob"))


@check(contacts="everyone")
async def mcabber_and_our_client_chat_and_see_each_other_over_direct_tls(world):
    async with Mcabber(world, "alice", direct=True) as alice:
        await they_chat(alice, await world.client("bob"))


@check
async def mcabber_gets_what_came_while_it_was_away(world):
    bob = await world.client("bob")
    bob.says("message alice first")
    bob.says("message alice second")
    bob.says("whoelse")
    async with Mcabber(world, "alice") as alice:
        await bob.hears("* alice logged in")
        await alice.opens_unread()
        await alice.sees("(?s)first.*second")


@check(contacts="roster")
async def mcabber_asks_is_allowed_and_allows(world):
    async with Mcabber(world, "alice") as alice:
        bob = await world.client("bob")

        # It asks, and allows the other in advance.
        await alice.types("/add bob@localhost")
        await bob.hears("* alice asks to see when you are online: allow alice, or deny alice")
        bob.says("allow alice")
        await alice.sees(r"\So\S bob")
        bob.says("add alice")
        await alice.sees("bob@localhost> wants to")
        await alice.types("/event * accept")
        await bob.hears("* alice logged in")
        assert await bob.end() == 0
        await alice.sees(r"\S_\S bob")
