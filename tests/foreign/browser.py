"""Debian's Chromium without a window, driven over WebDriver (W3C) as a person would drive it."""

import asyncio
import base64
import json
import re
import urllib.error
import urllib.request

from world import PATIENCE, patiently

# By what name WebDriver refers to an element.
ELEMENT = "element-6066-11e4-a52e-4f735466cecf"

# Chromium as root, and quiet: it asks nobody's servers for updates.
ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1200,900",
]

# Answers with the element when one that fits is there; the page says when it changes.
SEES = """
const [selector, text, done] = arguments;
const look = () =>
  [...document.querySelectorAll(selector)].find(
    (it) => it.checkVisibility() && it.textContent.includes(text));
const found = look();
if (found) return done(found);
const watch = new MutationObserver(() => {
  const found = look();
  if (!found) return;
  watch.disconnect();
  done(found);
});
watch.observe(document, { subtree: true, childList: true, characterData: true, attributes: true });
"""


class Browser:
    """A browser with one page open."""

    async def __aenter__(self):
        self.driver = await asyncio.create_subprocess_exec(
            "chromedriver", "--port=0", stdout=asyncio.subprocess.PIPE
        )
        port = await patiently("chromedriver starts", self._port())
        self.session = f"http://127.0.0.1:{port}/session"
        wishes = {
            # The certificate of the server is signed by the server itself.
            "acceptInsecureCerts": True,
            "timeouts": {"script": PATIENCE * 1000},
            "goog:loggingPrefs": {"browser": "ALL"},
            "goog:chromeOptions": {"args": ARGUMENTS},
        }
        answer = await self._ask("", {"capabilities": {"alwaysMatch": wishes}})
        self.session += f"/{answer['sessionId']}"
        return self

    async def __aexit__(self, *_):
        try:
            await self._ask("", method="DELETE")
        finally:
            self.driver.terminate()
            await patiently("chromedriver ends", self.driver.wait())

    async def _port(self):
        while line := await self.driver.stdout.readline():
            if found := re.search(rb"started successfully on port (\d+)", line):
                return int(found.group(1))
        raise AssertionError("chromedriver has ended")

    async def _ask(self, path, body=None, method=None):
        """One command and its answer. A script waits as long as `PATIENCE`; this waits longer."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.session + path, data, method=method)

        def ask():
            try:
                with urllib.request.urlopen(request, timeout=2 * PATIENCE) as answer:
                    return json.load(answer)["value"]
            except urllib.error.HTTPError as error:
                raise AssertionError(json.load(error)["value"]["message"]) from None

        return await asyncio.to_thread(ask)

    async def opens(self, url):
        await self._ask("/url", {"url": url})

    async def sees(self, selector, text=""):
        """Waits until something visible that this CSS selects has this text in it."""
        try:
            body = {"script": SEES, "args": [selector, text]}
            return (await self._ask("/execute/async", body))[ELEMENT]
        except AssertionError as error:
            raise AssertionError(f"waited in vain: {selector} with {text!r}: {error}") from None

    async def clicks(self, selector, text=""):
        await self._ask(f"/element/{await self.sees(selector, text)}/click", {})

    async def types(self, selector, text):
        await self._ask(f"/element/{await self.sees(selector)}/value", {"text": text})

    async def attaches(self, selector, path):
        """Chooses a file; what takes it need not be visible."""
        body = {"using": "css selector", "value": selector}
        found = (await self._ask("/element", body))[ELEMENT]
        await self._ask(f"/element/{found}/value", {"text": str(path)})

    async def texts(self, selector):
        """What everything says that this selects."""
        script = "return [...document.querySelectorAll(arguments[0])].map((it) => it.textContent)"
        return await self._ask("/execute/sync", {"script": script, "args": [selector]})

    async def screenshot(self, path):
        path.write_bytes(base64.b64decode(await self._ask("/screenshot")))

    async def console(self):
        """What the page has printed for its developers since this was asked before."""
        return [entry["message"] for entry in await self._ask("/se/log", {"type": "browser"})]
