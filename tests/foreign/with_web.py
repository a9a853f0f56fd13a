"""Clients of the web by other people's libraries, @xmpp/client and strophe.js: over WebSockets and
BOSH, directly and behind nginx and Caddy as docs/operating.md has them."""

import asyncio
import os
import re

from world import PATIENCE, ROOT, Program, check, password, patiently

# `run` has put it where it finds its libraries.
SCRIPT = ROOT / "target" / "foreign-node" / "web.mjs"
WEB = {"web.listen": ["127.0.0.1:0"]}
BEHIND = {**WEB, "web.trusted_proxies": ["127.0.0.1"]}


async def person(world, library, url, name, secret=None):
    """A client that is logged in."""
    process = await asyncio.create_subprocess_exec(
        "node", SCRIPT, library, url, name, secret or password(name),
        # The certificate is signed by the server itself.
        env={**os.environ, "NODE_TLS_REJECT_UNAUTHORIZED": "0", "NODE_NO_WARNINGS": "1"},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    client = Program(process)
    world.clients.append(client)
    if secret is None:
        await client.hears(f"online {name}@localhost")
    return client


async def talk(one, other, bob):
    """Alice is on the web, by this client, and talks to bob, who is there by our own."""
    await bob.hears("* alice logged in")
    one.says(f"bob@localhost {other}, it's <me>")
    await bob.hears(f"alice: {other}, it's <me>")
    bob.says("message alice hello & welcome")
    await one.hears("message bob@localhost hello & welcome")
    await one.end()
    await bob.hears("* alice logged out")


def urls(scheme, port):
    host = f"127.0.0.1:{port}"
    end = "s" if scheme == "tls" else ""
    return f"ws{end}://{host}/xmpp-websocket", f"http{end}://{host}/http-bind"


async def all_of_them(world, scheme, port):
    websocket, bosh = urls(scheme, port)
    bob = await world.client("bob")
    for library, url in [("xmpp.js", websocket), ("strophe", websocket), ("strophe", bosh)]:
        alice = await person(world, library, url, "alice")
        await talk(alice, library, bob)


@check(**WEB)
async def they_talk_over_tls(world):
    await all_of_them(world, "tls", world.web_port)


@check(**WEB)
async def they_talk_on_loopback_without(world):
    await all_of_them(world, "clear", world.web_port)


@check(**WEB)
async def a_wrong_password_is_refused(world):
    websocket, bosh = urls("tls", world.web_port)
    # One try each: a third in a row would be blocked, and told so.
    for library, url, name in [
        ("xmpp.js", websocket, "alice"),
        ("strophe", websocket, "bob"),
        ("strophe", bosh, "carol"),
    ]:
        client = await person(world, library, url, name, secret="wrong")
        await client.hears(re.compile("^error .*(not-authorized|AUTHFAIL)"))
        client.process.kill()


def documented(language):
    """The configuration of a proxy in docs/operating.md."""
    page = (ROOT / "docs" / "operating.md").read_text()
    [found] = re.findall(rf"(?s)```{language}\n(.*?)```", page)
    return found


class Proxy:
    """A reverse proxy as docs/operating.md has it, in a folder of its own."""

    def __init__(self, world):
        self.folder = world.folder / type(self).__name__
        self.folder.mkdir()
        self.port = free_port()
        self.server = f"127.0.0.1:{world.web_port}"

    async def __aenter__(self):
        self.process = await asyncio.create_subprocess_exec(*self.command(), cwd=self.folder)
        async def until_it_listens():
            while True:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", self.port)
                    return writer.close()
                except OSError:
                    await asyncio.sleep(0.02)

        await patiently("the proxy listens", until_it_listens())
        return self

    async def __aexit__(self, *_):
        self.process.terminate()
        await patiently("the proxy ends", self.process.wait())


class Nginx(Proxy):
    def command(self):
        locations = documented("nginx").replace("127.0.0.1:5443", self.server)
        (self.folder / "nginx.conf").write_text(
            f"daemon off; pid {self.folder}/pid; error_log stderr;\n"
            "events {}\n"
            f"http {{ access_log off; client_body_temp_path {self.folder}/body;\n"
            f"proxy_temp_path {self.folder}/proxy; fastcgi_temp_path {self.folder}/f;\n"
            f"uwsgi_temp_path {self.folder}/u; scgi_temp_path {self.folder}/s;\n"
            f"server {{ listen 127.0.0.1:{self.port};\n{locations}\n}} }}\n"
        )
        return "nginx", "-p", self.folder, "-c", self.folder / "nginx.conf"


class Caddy(Proxy):
    def command(self):
        site = documented("caddy").replace("127.0.0.1:5443", self.server)
        # In clear: it would ask an authority for a certificate.
        site = site.replace("chat.example.org", f"http://127.0.0.1:{self.port}")
        own = f"storage file_system {self.folder}/storage\nadmin off\nlog {{\nlevel ERROR\n}}\n"
        (self.folder / "Caddyfile").write_text(f"{{\n{own}}}\n{site}")
        return "caddy", "run", "--config", "Caddyfile", "--adapter", "caddyfile"


def free_port():
    import socket

    with socket.socket() as it:
        it.bind(("127.0.0.1", 0))
        return it.getsockname()[1]


@check(**BEHIND)
async def they_talk_behind_nginx(world):
    async with Nginx(world) as nginx:
        await all_of_them(world, "clear", nginx.port)


@check(**BEHIND)
async def they_talk_behind_caddy(world):
    async with Caddy(world) as caddy:
        await all_of_them(world, "clear", caddy.port)


@check(**BEHIND)
async def who_idles_behind_nginx_stays(world):
    """For IDLE_SECONDS (20). Above 60, it is longer than nginx waits unless it is told to."""
    idle = int(os.environ.get("IDLE_SECONDS", "20"))
    async with Nginx(world) as nginx:
        websocket, bosh = urls("clear", nginx.port)
        bob = await world.client("bob")
        alice = await person(world, "strophe", websocket, "alice")
        carol = await person(world, "strophe", bosh, "carol")
        await asyncio.sleep(idle)
        for name, client in [("alice", alice), ("carol", carol)]:
            bob.says(f"message {name} still there?")
            await client.hears("message bob@localhost still there?")
        assert "offline" not in alice.lines + carol.lines


@check(**WEB)
async def a_proxy_that_is_not_listed_is_told(world):
    async with Nginx(world) as nginx:
        reader, writer = await asyncio.open_connection("127.0.0.1", nginx.port)
        writer.write(b"GET /.well-known/host-meta HTTP/1.0\r\nHost: localhost\r\n\r\n")
        answer = await asyncio.wait_for(reader.read(), PATIENCE)
        assert b" 403 " in answer, answer
        assert b"127.0.0.1 is not in trusted_proxies under [web]" in answer, answer
        await world.server.hears(re.compile("web_request_refused.*127.0.0.1"))
