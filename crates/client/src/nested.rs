//! Looking into the children of a child: the envelope of a stanza names only the first level.

use whoelse_xmpp::{Child, Stanza};

/// A child as an element of its own, if it stands on its own feet: a prefix that is declared
/// outside of it does not come along, and nobody writes these payloads that way.
pub(crate) fn inner(stanza: &Stanza, child: &Child) -> Option<Stanza> {
    Stanza::parse(stanza.slice(child).to_vec()).ok()
}

/// The first child of that name and namespace, as an element of its own.
pub(crate) fn find(stanza: &Stanza, name: &str, ns: &str) -> Option<Stanza> {
    inner(stanza, stanza.child(name, ns)?)
}

/// Every child of that name that has its parent's namespace, as an element of its own.
pub(crate) fn each<'a>(parent: &'a Stanza, name: &'a str) -> impl Iterator<Item = Stanza> + 'a {
    let wanted = move |child: &&Child| child.name() == name && child.ns() == parent.ns();
    parent.children().iter().filter(wanted).filter_map(|child| inner(parent, child))
}
