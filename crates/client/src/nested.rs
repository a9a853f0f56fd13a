//! Reads grandchildren: the envelope of a stanza names only the first level.

use whoelse_xmpp::{Child, Stanza};

/// Returns a child as an element of its own. Fails if it uses a prefix declared outside of it,
/// which nobody does in these payloads.
pub(crate) fn inner(stanza: &Stanza, child: &Child) -> Option<Stanza> {
    Stanza::parse(stanza.slice(child).to_vec()).ok()
}

/// Returns the first child of that name and namespace, as an element of its own.
pub(crate) fn find(stanza: &Stanza, name: &str, ns: &str) -> Option<Stanza> {
    inner(stanza, stanza.child(name, ns)?)
}

/// Returns every child of that name in its parent's namespace, as elements of their own.
pub(crate) fn each<'a>(parent: &'a Stanza, name: &'a str) -> impl Iterator<Item = Stanza> + 'a {
    let wanted = move |child: &&Child| child.name() == name && child.ns() == parent.ns();
    parent.children().iter().filter(wanted).filter_map(|child| inner(parent, child))
}
