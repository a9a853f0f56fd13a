//! Kinds of settings that only the server has: listening addresses, a database, a file of
//! accounts.

use super::CredentialsFile;
use std::net::{IpAddr, SocketAddr};
use whoelse_core::settings::{Kind, Written, Wrong, quoted};
use whoelse_store::PostgresUrl;

/// Where to listen: one address or a list, each with or without a port.
pub(super) const fn listening<const PORT: u16>() -> Kind<Vec<SocketAddr>> {
    Kind::new(
        "an address in quotes, or a list of them",
        |written| {
            let address = |written: &Written| match written {
                Written::Text(text) => address(text, PORT).map_err(Wrong::Because),
                _ => Err(Wrong::Kind),
            };
            match written {
                Written::List(list) => list.iter().map(address).collect(),
                one => Ok(vec![address(one)?]),
            }
        },
        |addresses: &Vec<SocketAddr>| {
            let addresses: Vec<String> =
                addresses.iter().map(|address| quoted(&address.to_string())).collect();
            format!("[{}]", addresses.join(", "))
        },
    )
}

/// Where to listen, or `"off"`.
pub(super) const fn listening_or_off<const PORT: u16>() -> Kind<Option<SocketAddr>> {
    Kind::new(
        "an address in quotes, or \"off\"",
        |written| match written {
            Written::Text(text) if text == "off" => Ok(None),
            Written::Text(text) => address(text, PORT).map(Some).map_err(Wrong::Because),
            _ => Err(Wrong::Kind),
        },
        |address: &Option<SocketAddr>| match address {
            Some(address) => quoted(&address.to_string()),
            None => quoted("off"),
        },
    )
}

/// A database on a server. Its printed form holds no password.
pub(super) const fn database() -> Kind<Option<PostgresUrl>> {
    Kind::new(
        "the address of a PostgreSQL database",
        |written| match written {
            Written::Text(text) => text
                .parse()
                .map(Some)
                .map_err(|why: whoelse_store::PlaceError| Wrong::Because(why.to_string())),
            // The sentence for another kind repeats the value, and a list may hold the password.
            _ => Err(Wrong::Because("write the address as one text in quotes".to_owned())),
        },
        |url: &Option<PostgresUrl>| {
            url.as_ref().map(|url| quoted(&url.to_string())).unwrap_or_default()
        },
    )
}

/// A file of accounts. It must exist, since somebody has named it.
pub(super) const fn credentials() -> Kind<Option<CredentialsFile>> {
    Kind::new(
        "a path in quotes",
        |written| match written {
            Written::Text(path) => Ok(Some(CredentialsFile { path: path.into(), required: true })),
            _ => Err(Wrong::Kind),
        },
        |file: &Option<CredentialsFile>| {
            file.as_ref().map(|file| quoted(&file.path.to_string_lossy())).unwrap_or_default()
        },
    )
    .of_a_path()
}

/// An address to listen on, with or without a port.
pub(super) fn address(text: &str, port: u16) -> Result<SocketAddr, String> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    text.parse::<SocketAddr>()
        .or_else(|_| bare.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, port)))
        .map_err(|_| {
            format!("`{text}` is not an address to listen on; write 127.0.0.1, 0.0.0.0:5222 or [::]:5222")
        })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn an_address_may_go_without_its_port() {
        for (text, parsed) in [
            ("0.0.0.0", "0.0.0.0:5222"),
            ("127.0.0.1:80", "127.0.0.1:80"),
            ("::1", "[::1]:5222"),
            ("[::]", "[::]:5222"),
            ("[::]:0", "[::]:0"),
        ] {
            assert_eq!(address(text, 5222), Ok(parsed.parse().unwrap()), "{text}");
        }
        for bad in ["", "localhost", "5222", "127.0.0.1:99999"] {
            assert!(address(bad, 5222).is_err(), "{bad}");
        }
    }
}
