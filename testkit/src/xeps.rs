//! The table of `docs/xeps.md`, derived from what the features and the stream implement.

use std::collections::BTreeMap;
use std::fmt::Write;

/// XEPs that are implemented below the features: number, version, and place.
const BELOW: &[(u16, &str, &str)] = &[
    (124, "1.11.2", "`stream`, `server`: BOSH"),
    (156, "1.4.0", "`server`: host-meta"),
    (198, "1.6.3", "`stream`, `core`: stream management and resumption"),
    (206, "1.4", "`stream`: streams over BOSH"),
    (368, "1.1.0", "`server`: direct TLS"),
    (386, "1.1.0", "`stream`, `core`: a session that begins along with its login"),
    (388, "1.0.4", "`stream`: logins that say what comes next"),
    (440, "1.0.0", "`stream`: channel bindings named"),
    (474, "0.5.0", "`stream`: both ends compare what was offered"),
    (478, "0.2.0", "`stream`: limits before and after login"),
    (484, "0.2.0", "`stream`, `core`: devices log in by a token"),
];

/// The titles of XEPs.
const TITLES: &[(u16, &str)] = &[
    (4, "Data Forms"),
    (12, "Last Activity"),
    (30, "Service Discovery"),
    (45, "Multi-User Chat"),
    (48, "Bookmarks"),
    (49, "Private XML Storage"),
    (50, "Ad-Hoc Commands"),
    (54, "vcard-temp"),
    (59, "Result Set Management"),
    (60, "Publish-Subscribe"),
    (77, "In-Band Registration"),
    (84, "User Avatar"),
    (92, "Software Version"),
    (115, "Entity Capabilities"),
    (124, "Bidirectional-streams Over Synchronous HTTP (BOSH)"),
    (133, "Service Administration"),
    (153, "vCard-Based Avatars"),
    (156, "Discovering Alternative XMPP Connection Methods"),
    (157, "Contact Addresses for XMPP Services"),
    (160, "Best Practices for Handling Offline Messages"),
    (163, "Personal Eventing Protocol"),
    (172, "User Nickname"),
    (191, "Blocking Command"),
    (198, "Stream Management"),
    (199, "XMPP Ping"),
    (202, "Entity Time"),
    (203, "Delayed Delivery"),
    (206, "XMPP Over BOSH"),
    (222, "Persistent Storage of Public Data via PubSub"),
    (223, "Persistent Storage of Private Data via PubSub"),
    (249, "Direct MUC Invitations"),
    (280, "Message Carbons"),
    (313, "Message Archive Management"),
    (334, "Message Processing Hints"),
    (352, "Client State Indication"),
    (359, "Unique and Stable Stanza IDs"),
    (368, "SRV records for XMPP over TLS"),
    (386, "Bind 2"),
    (388, "Extensible SASL Profile"),
    (398, "User Avatar to vCard-Based Avatars Conversion"),
    (402, "PEP Native Bookmarks"),
    (410, "MUC Self-Ping (Schrödinger's Chat)"),
    (411, "Bookmarks Conversion"),
    (421, "Occupant identifiers for semi-anonymous MUCs"),
    (424, "Message Retraction"),
    (425, "Moderated Message Retraction"),
    (441, "Message Archive Management Preferences"),
    (440, "SASL Channel-Binding Type Capability"),
    (474, "SASL SCRAM Downgrade Protection"),
    (478, "Stream Limits Advertisement"),
    (484, "Fast Authentication Streamlining Tokens"),
    (486, "MUC Avatars"),
    (490, "Message Displayed Synchronization"),
];

/// The beginning of the page.
const HEAD: &str = "\
# What whoelse speaks

RFC 6120 (core), RFC 6121 (messages, presence, rosters and subscriptions), RFC 7590 (TLS),
RFC 7395 (WebSocket), RFC 5802, 7677 and 9266 (SCRAM-SHA-1, -256 and -512, with channel binding), and these XEPs, each to
the version named and with a conversation for every refusal its text lists (`scenes/xep-NNNN`).
Private chats between our clients are shaped after XEP-0166, 0174, 0184 and 0353 (protocol.md).

This page is written by a test; do not change it by hand: `UPDATE=1 cargo test -p whoelse-testkit`.

| XEP | Title | Version | Where |
|---|---|---|---|
";

/// Writes the page. Fails with the number of a XEP that has no title here.
pub fn page() -> Result<String, String> {
    let mut rows = BTreeMap::new();
    for feature in whoelse_features::ALL {
        for (number, version) in feature.xeps {
            let place = format!("feature `{}`", feature.name);
            let also = |(_, places): &mut (_, String)| *places = format!("{places}, {place}");
            rows.entry(*number).and_modify(also).or_insert_with(|| (*version, place.clone()));
        }
    }
    for (number, version, place) in BELOW {
        rows.insert(*number, (*version, (*place).to_owned()));
    }
    let mut page = HEAD.to_owned();
    for (number, (version, place)) in rows {
        let title = TITLES.iter().find(|(known, _)| *known == number);
        let (_, title) =
            title.ok_or(format!("XEP-{number:04} has no title in testkit/src/xeps.rs"))?;
        let link = format!("https://xmpp.org/extensions/xep-{number:04}.html");
        // Writing to a string cannot fail.
        let _ = writeln!(page, "| [{number:04}]({link}) | {title} | {version} | {place} |");
    }
    Ok(page)
}
