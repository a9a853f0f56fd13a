//! XEP-0004, 3.4, for a client: the table in the answer of a command.

use std::time::SystemTime;

use whoelse_xmpp::{Stanza, ns};

use crate::error::RequestError;
use crate::message::parse_time;
use crate::nested;

/// One row: its cells by name.
pub(crate) struct Row(Vec<(String, String)>);

impl Row {
    /// Returns a cell that is not empty.
    pub(crate) fn cell(&self, var: &str) -> Option<&str> {
        let found = self.0.iter().find(|(name, _)| name == var);
        found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    /// Returns the time in a cell that is not empty.
    pub(crate) fn time(&self, var: &str) -> Result<Option<SystemTime>, RequestError> {
        let time = |text: &str| parse_time(text).ok_or(RequestError::Unreadable);
        self.cell(var).map(time).transpose()
    }
}

/// Reads every row of a completed command.
pub(crate) fn read_rows<T>(
    command: &Stanza,
    read: fn(&Row) -> Result<T, RequestError>,
) -> Result<Vec<T>, RequestError> {
    let Some(form) = nested::find(command, "x", ns::DATA) else {
        return Err(RequestError::Unreadable);
    };
    let rows = nested::each(&form, "item").map(|item| {
        let cells = nested::each(&item, "field").filter_map(|field| {
            let value = nested::each(&field, "value").next();
            let value = value.map(|value| value.text().to_string()).unwrap_or_default();
            Some((field.attr("var")?.to_string(), value))
        });
        read(&Row(cells.collect()))
    });
    rows.collect()
}
