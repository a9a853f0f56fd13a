//! XEP-0313, 4.1, and XEP-0059: what is asked of an archive: which messages, and which page of them.

use whoelse_core::Time;
use whoelse_xmpp::payload::xmpp_parsers::data_forms::DataForm;
use whoelse_xmpp::payload::xmpp_parsers::mam;
use whoelse_xmpp::payload::xmpp_parsers::rsm::SetQuery;
use whoelse_xmpp::write::Element;
use whoelse_xmpp::{Condition, Jid, StanzaError, ns};

use super::reader::Reader;
use crate::form::begun;

/// The most messages in one page, however many are asked for: a page is a bounded piece of work.
pub(super) const MOST: usize = 250;

/// What is asked, with ids as they were sent.
pub(super) struct Asked {
    pub queryid: Option<String>,
    with: Option<Jid>,
    start: Option<Time>,
    end: Option<Time>,
    /// Those that the form names, and those of the page.
    after: [Option<String>; 2],
    before: [Option<String>; 2],
    ids: Option<Vec<String>>,
    limit: usize,
    backwards: bool,
    /// Whether the page is sent in reverse order.
    pub flips: bool,
}

/// What is asked, with the numbers of the archive.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    /// Messages with this address.
    pub with: Option<Jid>,
    /// Messages at this time or later.
    pub start: Option<Time>,
    /// Messages at this time or earlier.
    pub end: Option<Time>,
    /// Messages after this number, and before that one.
    pub after: Option<i64>,
    pub before: Option<i64>,
    /// Whether the form has named one of the two: then they are no place in what matches.
    pub is_between: bool,
    /// These alone, in the order of the archive.
    pub ids: Option<Vec<i64>>,
    /// How many at most.
    pub limit: usize,
    /// Whether the newest of them.
    pub backwards: bool,
}

impl Asked {
    pub fn read(request: mam::Query) -> Result<Asked, StanzaError> {
        let mut asked = Asked::page(request.set)?;
        asked.queryid = request.queryid.map(|id| id.0);
        asked.flips = request.flip_page;
        if let Some(form) = request.form {
            asked.filter(form)?;
        }
        Ok(asked)
    }

    /// XEP-0059: which page.
    fn page(set: Option<SetQuery>) -> Result<Asked, StanzaError> {
        let set = set.unwrap_or(SetQuery { max: None, after: None, before: None, index: None });
        if set.index.is_some() {
            // XEP-0059, 2.6: pages by number are not offered.
            return Err(StanzaError::new(Condition::FeatureNotImplemented));
        }
        let backwards = set.before.is_some();
        let before = set.before.filter(|id| !id.is_empty());
        Ok(Asked {
            queryid: None,
            with: None,
            start: None,
            end: None,
            after: [None, set.after],
            before: [None, before],
            ids: None,
            limit: set.max.unwrap_or(MOST).min(MOST),
            backwards,
            flips: false,
        })
    }

    /// 4.1: which messages.
    fn filter(&mut self, form: DataForm) -> Result<(), StanzaError> {
        for field in form.fields {
            let value = field.values.first().cloned().unwrap_or_default();
            match field.var.as_deref() {
                Some("FORM_TYPE") if value == ns::MAM => {}
                Some("with") => self.with = Some(Jid::parse(&value).map_err(|_| bad("with"))?),
                Some("start") => self.start = Some(time(&value).ok_or_else(|| bad("start"))?),
                Some("end") => self.end = Some(time(&value).ok_or_else(|| bad("end"))?),
                Some("after-id") => self.after[0] = Some(value),
                Some("before-id") => self.before[0] = Some(value),
                Some("ids") if field.values.len() > MOST => {
                    return Err(StanzaError::new(Condition::PolicyViolation)
                        .with_text(format!("{MOST} ids are as many as one may ask for at once")));
                }
                Some("ids") => self.ids = Some(field.values),
                // 4.1.5: an unknown field must not be ignored.
                _ => return Err(StanzaError::new(Condition::FeatureNotImplemented)),
            }
        }
        Ok(())
    }

    /// 4.1.3: finds the numbers of ids; an id that is not in the archive is `item-not-found`.
    pub async fn find(self, reader: &Reader) -> Result<Wanted, StanzaError> {
        let is_between = self.after[0].is_some() || self.before[0].is_some();
        let (mut after, mut before) = (None, None);
        for id in self.after.into_iter().flatten() {
            after = after.max(Some(reader.number(&id).await?));
        }
        for id in self.before.into_iter().flatten() {
            let number = reader.number(&id).await?;
            before = Some(before.map_or(number, |before: i64| before.min(number)));
        }
        let ids = match self.ids {
            None => None,
            Some(named) => {
                let mut ids = Vec::with_capacity(named.len());
                for id in named {
                    ids.push(reader.number(&id).await?);
                }
                ids.sort_unstable();
                ids.dedup();
                Some(ids)
            }
        };
        Ok(Wanted {
            with: self.with,
            start: self.start,
            end: self.end,
            after,
            before,
            is_between,
            ids,
            limit: self.limit,
            backwards: self.backwards,
        })
    }
}

fn time(text: &str) -> Option<Time> {
    Time::parse_stamp(text)
}

fn bad(field: &str) -> StanzaError {
    StanzaError::new(Condition::BadRequest).with_text(format!("the field `{field}` is malformed"))
}

/// 4.1.5: the fields that can be filled in.
pub(super) fn form() -> Element {
    let field = |var: &str, type_: &str| Element::new("field").attr("var", var).attr("type", type_);
    // Any id can be named, and none is listed.
    let open = Element::new("validate")
        .xmlns(ns::DATA_VALIDATE)
        .attr("datatype", "xs:string")
        .child(Element::new("open"));
    let form = begun("form", None, Some(ns::MAM))
        .child(field("with", "jid-single"))
        .child(field("start", "text-single"))
        .child(field("end", "text-single"))
        .child(field("before-id", "text-single"))
        .child(field("after-id", "text-single"))
        .child(field("ids", "list-multi").child(open));
    Element::new("query").xmlns(ns::MAM).child(form)
}
