//! XEP-0157, Contact Addresses for XMPP Services: where to write about this server, in its answer
//! to service discovery (XEP-0128).

use std::fmt;
use std::str::FromStr;

use whoelse_core::kit::Feature;
use whoelse_core::{Node, settings, settings::list};
use whoelse_xmpp::payload::xmpp_parsers::data_forms::{DataForm, DataFormType, Field, FieldType};

/// XEP-0157. It has no namespace of its own.
pub const FEATURE: Feature = Feature {
    name: "contact-addresses",
    xeps: &[(157, "1.1.1")],
    settings: &[ContactAddresses::SETTINGS],
    wire: |w| w.server_form(form),
    ..Feature::PLAIN
};

settings! {
    /// To whom people write about this server: URIs that anybody who can reach it is told.
    struct ContactAddresses in "contact_addresses" {
        /// Where to report abuse by people of this server.
        abuse: Vec<Uri> = Vec::new(),
            list("URIs").like("[\"mailto:abuse@example.org\"]");
        /// Where to reach whoever runs this server.
        admin: Vec<Uri> = Vec::new(),
            list("URIs").like("[\"xmpp:admin@example.org\"]");
        /// Where to say what one likes about this server, and what not.
        feedback: Vec<Uri> = Vec::new(),
            list("URIs").like("[\"https://example.org/feedback\"]");
        /// Where to ask what an account or a service costs.
        sales: Vec<Uri> = Vec::new(),
            list("URIs").like("[\"xmpp:sales@example.org\"]");
        /// Where to report a weakness of this server, before others know of it.
        security: Vec<Uri> = Vec::new(),
            list("URIs").like("[\"mailto:security@example.org\"]");
        /// Where one sees whether this server works at the moment.
        status: Vec<Uri> = Vec::new(),
            list("URIs").like("[\"https://status.example.org\"]");
        /// Where people who use this server find help.
        support: Vec<Uri> = Vec::new(),
            list("URIs").like("[\"xmpp:help@example.org\"]");
    }
}

/// The FORM_TYPE of the form (XEP-0068).
const SERVER_INFO: &str = "http://jabber.org/network/serverinfo";

/// Makes the form; nothing if no address is set.
fn form(node: &Node) -> Option<DataForm> {
    let settings = node.settings();
    let set = settings.of::<ContactAddresses>();
    let fields: Vec<Field> = [
        ("abuse-addresses", &set.abuse),
        ("admin-addresses", &set.admin),
        ("feedback-addresses", &set.feedback),
        ("sales-addresses", &set.sales),
        ("security-addresses", &set.security),
        ("status-addresses", &set.status),
        ("support-addresses", &set.support),
    ]
    .into_iter()
    .filter(|(_, uris)| !uris.is_empty())
    .map(|(name, uris)| Field {
        values: uris.iter().map(ToString::to_string).collect(),
        ..Field::new(name, FieldType::ListMulti)
    })
    .collect();
    (!fields.is_empty()).then(|| DataForm::new(DataFormType::Result_, SERVER_INFO, fields))
}

/// Whether a text is an absolute URI, as far as a typing error can be recognised: a scheme, a colon
/// and more.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Uri(String);

impl FromStr for Uri {
    type Err = String;

    fn from_str(text: &str) -> Result<Uri, String> {
        let scheme = text.split_once(':').filter(|(_, rest)| !rest.is_empty()).map(|(it, _)| it);
        let is_scheme = scheme.is_some_and(|scheme| {
            scheme.starts_with(|c: char| c.is_ascii_alphabetic())
                && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b))
        });
        match is_scheme && text.bytes().all(|b| b.is_ascii_graphic()) {
            true => Ok(Uri(text.to_owned())),
            false => Err(format!("`{text}` is not a URI; an e-mail address begins with `mailto:`")),
        }
    }
}

impl fmt::Display for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_without_a_scheme_is_no_uri() {
        for good in ["mailto:a@b", "xmpp:a@b?message", "https://b/x", "tel:+41", "a+b-c.d:x"] {
            assert!(good.parse::<Uri>().is_ok(), "{good}");
        }
        for bad in ["", "a@b", "mailto:", ":x", "1a:x", "mailto:a b", "mail to:a@b", "mailto:é@b"]
        {
            assert!(bad.parse::<Uri>().is_err(), "{bad}");
        }
    }
}
