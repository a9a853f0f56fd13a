//! `whoelse user devices NAME`: the devices that log in to an account by a token (XEP-0484), and how
//! one of them, or all, are logged out.

use serde_json::json;
use whoelse_client::admin;
use whoelse_client::devices::Device;

use super::{Fault, change, say, socket};
use crate::admin::table::{minute, rfc3339, table};
use crate::cli::{Devices, Running};
use crate::commands;
use crate::say::text;

const HEADINGS: [&str; 5] = ["NUMBER", "PROGRAM", "DEVICE", "SINCE", "LAST LOGIN"];

/// Lists them, or logs some out.
pub async fn run(running: &Running, options: &Devices) -> Result<(), Fault> {
    let Devices { name, revoke, revoke_all, json } = options;
    if revoke.is_some() || *revoke_all {
        return change(running, name, async |link, account| {
            admin::revoke_devices(link, account, *revoke).await
        })
        .await;
    }
    let devices = socket::with(running, None, async |link| {
        let account = commands::address(name, link.me().domain())?;
        Ok(admin::list_devices(link, &account).await?)
    })
    .await?;
    match (json, devices.is_empty()) {
        (true, _) => devices.iter().try_for_each(|device| say(object(device))),
        (false, true) => say("no device logs in without the password"),
        (false, false) => {
            let rows: Vec<[String; 5]> = devices.iter().map(cells).collect();
            say(table(HEADINGS, &rows))
        }
    }
}

fn cells(device: &Device) -> [String; 5] {
    [
        device.number.to_string(),
        text::line(&device.software),
        text::line(&device.name),
        minute(device.since),
        minute(device.last_login),
    ]
}

/// Returns a row for programs (docs/scripting.md).
fn object(device: &Device) -> String {
    json!({
        "device": device.number,
        "program": device.software,
        "name": device.name,
        "since": rfc3339(device.since),
        "last_login": rfc3339(device.last_login),
    })
    .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, UNIX_EPOCH};

    fn device() -> Device {
        let then = UNIX_EPOCH + Duration::from_secs(1_795_356_200);
        let (software, name) = ("AwesomeXMPP".to_owned(), "\u{1b}[2J".to_owned());
        Device { number: 3, software, name, since: then, last_login: then, is_own: false }
    }

    #[test]
    fn a_row_says_which_what_and_since_when_and_cannot_act_on_the_terminal() {
        let then = "2026-11-22 14:03 UTC";
        assert_eq!(cells(&device()), ["3", "AwesomeXMPP", "\\u{1b}[2J", then, then]);
    }

    #[test]
    fn a_program_is_given_an_object() {
        assert_eq!(
            object(&device()),
            r#"{"device":3,"last_login":"2026-11-22T14:03:20.000Z","name":"\u001b[2J","program":"AwesomeXMPP","since":"2026-11-22T14:03:20.000Z"}"#
        );
    }
}
