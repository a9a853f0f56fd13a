"""The scripts of the README, run exactly as they are printed."""

import asyncio
import os
import re
import signal

from world import BINARY, ROOT, check, password, patiently


def scripts_of(page):
    return re.findall(r"(?s)```sh\n(.*?)```", (ROOT / page).read_text())


@check
async def the_bot_of_the_readme_answers(world):
    [script] = [it for it in scripts_of("README.md") if "--user bot" in it]
    # The program of the script is ours, on its way to this server.
    programs = world.folder / "programs"
    programs.mkdir()
    whoelse = programs / "whoelse"
    whoelse.write_text(
        f'#!/bin/sh\n[ "$1" = client ] && shift && exec {BINARY} client {world.port} "$@"\n'
    )
    whoelse.chmod(0o755)
    alice = await world.client("alice")
    folder = world.folder / "bot"
    folder.mkdir()
    secret = folder / "bot.password"
    secret.write_text(password("carol") + "\n")
    secret.chmod(0o600)
    path = f"{programs}:{os.environ['PATH']}"
    bot = await asyncio.create_subprocess_exec(
        # Carol is the bot: the name is all that is changed.
        "sh", "-c", script.replace("--user bot", "--user carol"),
        cwd=folder,
        env={**os.environ, "PATH": path, "HOME": str(folder)},
        start_new_session=True,
    )
    try:
        await alice.hears("* carol logged in")
        alice.says("message carol hello, \"bot\"")
        await alice.hears('carol: you said: hello, "bot"')
        alice.says("message carol again")
        await alice.hears("carol: you said: again")
    finally:
        # Ctrl-C.
        os.killpg(bot.pid, signal.SIGINT)
        await patiently("the bot ends", bot.wait())
    await alice.hears("* carol logged out")
