// One client of the web, by a library of other people's: `node web.mjs LIBRARY URL NAME PASSWORD`.
// It says what happens in lines, and sends what it is told: `TO TEXT`. It ends with its input.
//
// LIBRARY is `xmpp.js` (over a WebSocket) or `strophe` (over what the URL says).

import { createInterface } from "node:readline";

const [library, url, name, password] = process.argv.slice(2);
const domain = "localhost";
const say = (...words) => console.log(words.join(" "));
const lines = createInterface({ input: process.stdin });

async function xmppJs() {
  globalThis.WebSocket ??= (await import("ws")).default;
  const { client, xml } = await import("@xmpp/client");
  const xmpp = client({ service: url, domain, username: name, password });
  xmpp.on("error", (error) => say("error", error.message));
  xmpp.on("offline", () => say("offline"));
  xmpp.on("stanza", (stanza) => {
    const body = stanza.is("message") && stanza.getChildText("body");
    if (body) say("message", stanza.attrs.from.split("/")[0], body);
  });
  xmpp.on("online", async (address) => {
    await xmpp.send(xml("presence"));
    say("online", address.bare().toString());
  });
  lines.on("line", async (line) => {
    const [to, ...text] = line.split(" ");
    const body = xml("body", {}, text.join(" "));
    await xmpp.send(xml("message", { to, type: "chat" }, body));
  });
  lines.on("close", () => xmpp.stop());
  await xmpp.start();
}

async function strophe() {
  if (url.startsWith("http")) {
    globalThis.XMLHttpRequest ??= (await import("xhr2")).default;
    // Browsers parse what they get.
    Object.defineProperty(XMLHttpRequest.prototype, "responseXML", {
      get() {
        return this.responseText && new DOMParser().parseFromString(this.responseText, "text/xml");
      },
      set() {},
    });
  }
  const { Strophe, $msg, $pres } = await import("strophe.js");
  const connection = new Strophe.Connection(url);
  const words = Object.fromEntries(
    Object.entries(Strophe.Status).map(([word, number]) => [number, word]),
  );
  const messages = () =>
    connection.addHandler((message) => {
      const body = message.getElementsByTagName("body")[0];
      if (body) say("message", Strophe.getBareJidFromJid(message.getAttribute("from")), body.textContent);
      return true;
    }, null, "message");
  connection.connect(`${name}@${domain}`, password, (status, condition) => {
    if (status === Strophe.Status.CONNECTED) {
      messages();
      connection.send($pres());
      say("online", Strophe.getBareJidFromJid(connection.jid));
    } else if (status === Strophe.Status.DISCONNECTED) {
      say("offline");
      process.exit(0);
    } else if (/FAIL|ERROR/.test(words[status])) {
      say("error", words[status], condition ?? "");
    }
  });
  lines.on("line", (line) => {
    const [to, ...text] = line.split(" ");
    connection.send($msg({ to, type: "chat" }).c("body").t(text.join(" ")));
  });
  lines.on("close", () => connection.disconnect());
}

await { "xmpp.js": xmppJs, strophe }[library]();
