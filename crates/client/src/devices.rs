//! XEP-0484 and docs/protocol.md, for a client: the devices of the own account that log in by a token.

use std::time::SystemTime;

use crate::client::Client;
use crate::commands;
use crate::error::RequestError;
use crate::table::{Row, read_rows};

/// A device that logs in by a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// Its number, unique for the account.
    pub number: u32,
    /// The program, as it calls itself.
    pub software: String,
    /// What it runs on, as it says.
    pub name: String,
    /// When it was given its first token.
    pub since: SystemTime,
    /// When it logged in last.
    pub last_login: SystemTime,
    /// Whether it is the one that asks; an operator's is none.
    pub is_own: bool,
}

impl Device {
    pub(crate) fn read(row: &Row) -> Result<Device, RequestError> {
        let number = row.cell("device").and_then(|text| text.parse().ok());
        Ok(Device {
            number: number.ok_or(RequestError::Unreadable)?,
            software: row.cell("software").unwrap_or_default().to_owned(),
            name: row.cell("name").unwrap_or_default().to_owned(),
            since: row.time("since")?.ok_or(RequestError::Unreadable)?,
            last_login: row.time("last-login")?.ok_or(RequestError::Unreadable)?,
            is_own: row.cell("this") == Some("yes"),
        })
    }
}

/// Returns the own devices, by number.
pub async fn list(client: &Client) -> Result<Vec<Device>, RequestError> {
    let answer = commands::run(client, "devices", &[]).await?;
    read_rows(&commands::completed(&answer)?, Device::read)
}

/// Takes the token of an own device back and ends its sessions, but for the one that asks. A number
/// that no device has is refused.
pub async fn forget(client: &Client, number: u32) -> Result<(), RequestError> {
    let number = number.to_string();
    let answer = commands::run(client, "forget-device", &[("device", &number)]).await?;
    commands::completed(&answer).map(drop)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::message::parse_time;
    use whoelse_xmpp::Stanza;

    fn table(cells: &[(&str, &str)]) -> Stanza {
        let cell = |(var, value): &(&str, &str)| {
            format!("<field var='{var}'><value>{value}</value></field>")
        };
        let row: String = cells.iter().map(cell).collect();
        let xml = format!(
            "<iq type='result' id='q' from='a.example'>\
             <command xmlns='http://jabber.org/protocol/commands' status='completed'>\
             <x xmlns='jabber:x:data' type='result'><item>{row}</item></x></command></iq>"
        );
        commands::completed(&Stanza::parse(xml.into_bytes()).unwrap()).unwrap()
    }

    #[test]
    fn a_row_says_which_device_it_is_and_whether_it_is_this_one() {
        let then = "2026-11-22T14:03:00.000Z";
        let row = [
            ("device", "3"),
            ("software", "AwesomeXMPP"),
            ("name", ""),
            ("since", then),
            ("last-login", then),
            ("this", "yes"),
        ];
        let at = parse_time(then).unwrap();
        let device = Device {
            number: 3,
            software: "AwesomeXMPP".to_owned(),
            name: String::new(),
            since: at,
            last_login: at,
            is_own: true,
        };
        // An operator's list does not say it.
        let another = Device { is_own: false, ..device.clone() };

        assert_eq!(read_rows(&table(&row), Device::read), Ok(vec![device]));
        assert_eq!(read_rows(&table(&row[..5]), Device::read), Ok(vec![another]));
        let unreadable = Err(RequestError::Unreadable);
        for bad in [&row[1..], &row[..3], &[("device", "x"), row[3], row[4]]] {
            assert_eq!(read_rows(&table(bad), Device::read), unreadable);
        }
    }
}
