//! XML 1.0 events for typed payloads, from one rxml parser per thread, which stays on an open
//! `jabber:client` stream.
//!
//! A new parser for each payload would cost more than the payload. Its input has passed the
//! scanner: it is well-formed, and not nested too deeply for recursion.

use std::cell::Cell;

use rxml::error::EndOrError;
use rxml::xml_lang::XmlLangStack;
use rxml::{Event, Parse, Parser};
use xso::error::FromEventsError;
use xso::{Context, FromEventsBuilder};

use super::Payload;
use crate::stanza::read;
use crate::{Child, Condition, Stanza, StanzaError};

const STREAM: &[u8] =
    b"<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>";

thread_local! {
    /// This thread's parser, while it is not in use. It is thrown away after an error.
    static PARSER: Cell<Option<Parser>> = const { Cell::new(None) };
}

/// Reads a child of a stanza as its type.
pub(crate) fn payload<T: Payload>(stanza: &Stanza, child: &Child) -> Result<T, StanzaError> {
    if !child.is(T::NAME, T::NS) {
        return Err(bad_request());
    }
    let mut parser = match PARSER.take() {
        Some(parser) => parser,
        None => {
            let mut parser = Parser::new();
            feed(&mut parser, STREAM, |_| Ok(()))?;
            parser
        }
    };
    let payload = read_with(&mut parser, stanza, child)?;
    PARSER.set(Some(parser));
    Ok(payload)
}

fn read_with<T: Payload>(
    parser: &mut Parser,
    stanza: &Stanza,
    child: &Child,
) -> Result<T, StanzaError> {
    // If names in the element may depend on the tags around it, these are opened before it and
    // closed after it.
    let around = stanza.scope_of(child);
    for tag in &around {
        feed(parser, tag, |_| Ok(()))?;
    }

    let mut builder: Option<T::Builder> = None;
    let mut payload = None;
    let mut languages = XmlLangStack::new();
    feed(parser, stanza.slice(child), |event| {
        languages.handle_event(&event);
        let context = Context::empty().with_language(languages.current().or(stanza.lang()));
        match (&mut builder, event) {
            (Some(builder), event) => {
                if let Some(complete) = builder.feed(event, &context).map_err(|_| unlike::<T>())? {
                    payload = Some(complete);
                }
            }
            (None, Event::StartElement(_, name, attributes)) => {
                let begun = T::from_events(name, attributes, &context);
                builder = Some(begun.map_err(|error| match error {
                    FromEventsError::Mismatch { .. } => bad_request(),
                    FromEventsError::Invalid(_) => unlike::<T>(),
                })?);
            }
            (None, _) => return Err(bad_request()),
        }
        Ok(())
    })?;
    for tag in around.iter().rev() {
        for part in [b"</", read::tag_name(tag), b">"] {
            feed(parser, part, |_| Ok(()))?;
        }
    }
    payload.ok_or_else(bad_request)
}

/// Parses all of `bytes`.
fn feed(
    parser: &mut Parser,
    mut bytes: &[u8],
    mut take: impl FnMut(Event) -> Result<(), StanzaError>,
) -> Result<(), StanzaError> {
    loop {
        match parser.parse(&mut bytes, false) {
            Ok(Some(event)) => take(event)?,
            Err(EndOrError::NeedMoreData) => return Ok(()),
            Ok(None) | Err(EndOrError::Error(_)) => return Err(bad_request()),
        }
    }
}

fn bad_request() -> StanzaError {
    StanzaError::new(Condition::BadRequest)
}

/// The messages of the libraries are for programmers, so they are not passed on.
fn unlike<T: Payload>() -> StanzaError {
    bad_request().with_text(format!("what is in <{}/> is not as {} has it", T::NAME, T::NS))
}
