"""go-sendxmpp, which sends what it reads, and prints what it hears."""

import asyncio
import os

from world import check, password, patiently


async def start(world, name, *args, port=None, trusts=True):
    environment = {**os.environ, "HOME": str(world.folder)}
    # Go asks these for its authorities, and nothing else then.
    environment["SSL_CERT_DIR"] = str(world.folder / "nothing")
    environment["SSL_CERT_FILE"] = str(world.certificate) if trusts else "/dev/null"
    return await asyncio.create_subprocess_exec(
        "go-sendxmpp", "-u", f"{name}@localhost", "-p", password(name),
        "-j", f"localhost:{port or world.port}", *args,
        env=environment,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )


async def send(world, text, *args, **options):
    """Sends a text to bob; returns the status and what was printed."""
    process = await start(world, "alice", *args, "bob@localhost", **options)
    output, _ = await patiently("go-sendxmpp ends", process.communicate(text.encode()))
    return process.returncode, output.decode()


@check(contacts="everyone")
async def go_sendxmpp_sends_over_starttls_and_direct_tls_and_verifies_the_certificate(world):
    bob = await world.client("bob")

    assert await send(world, "over STARTTLS <&> ü") == (0, "")
    await bob.hears("alice: over STARTTLS <&> ü")
    assert await send(world, "over direct TLS", "--tls", port=world.direct_port) == (0, "")
    await bob.hears("alice: over direct TLS")


@check
async def go_sendxmpp_does_not_trust_a_certificate_nobody_vouches_for(world):
    bob = await world.client("bob")

    status, said = await send(world, "never", trusts=False)

    assert status != 0 and "certificate" in said, (status, said)
    # The first thing he hears of her is what she says when she trusts the server.
    assert await send(world, "now") == (0, "")
    heard = len(bob.lines)
    await bob.hears("alice: now")
    assert not [line for line in bob.lines[:heard] if "never" in line], bob.lines


@check(contacts="everyone")
async def go_sendxmpp_prints_what_it_hears(world):
    bob = await world.client("bob")
    listener = await start(world, "alice", "--listen", port=world.port)
    await bob.hears("* alice logged in")

    bob.says("message alice hello, listener")

    line = await patiently("the message", listener.stdout.readline())
    assert b"bob@localhost" in line and b"hello, listener" in line, line
    listener.terminate()
    await listener.wait()

@check(contacts="roster")
async def go_sendxmpp_writes_to_somebody_who_has_never_heard_of_it(world):
    assert await send(world, "good day") == (0, "")

    bob = await world.client("bob", waits=True)
    await bob.hears_end("alice: good day")
