//! XEP-0124: whatever a client asks, in whatever order, bodies are read once each and in the order of
//! their numbers, every request is answered once at most, and few are held.

use std::cell::RefCell;
use std::rc::Rc;

use whoelse_stream::bosh::{By, Due, Session, head};
use whoelse_xmpp::{Body, ns};

use crate::choices::Choices;

/// A request, which notes that it was answered.
#[derive(Clone)]
struct Asked(Rc<RefCell<u32>>, bool);

impl By for Asked {
    fn is_gone(&self) -> bool {
        self.1
    }
}

fn answer(due: impl IntoIterator<Item = Due<Asked>>) {
    for Due { by, answer } in due {
        *by.0.borrow_mut() += 1;
        assert_eq!(*by.0.borrow(), 1, "a request is answered once");
        assert!(head(&answer).is_ok(), "an answer is a body");
    }
}

/// The requests of one client, described by `data`; or any bytes as the beginning of a body.
pub fn requests(data: &[u8]) {
    let _ = head(data);
    let mut choices = Choices::new(data);
    let first = Body {
        rid: Some(100),
        hold: choices.pick(&[None, Some(0), Some(1), Some(9)]),
        wait: choices.pick(&[None, Some(0), Some(60), Some(u32::MAX)]),
        ack: choices.pick(&[None, Some(1)]),
        to: Some("<'&\">".into()),
        ..Body::default()
    };
    let mut session = Session::new("x".to_owned(), &first, 100);
    let mut read = Vec::new();
    let mut first = Some(first);
    while !choices.is_empty() {
        match choices.below(6) {
            0..=2 => {
                let sent = first.take().unwrap_or_else(|| Body {
                    rid: Some(choices.pick(&[99, 100, 101, 102, 103, 104, 105, 106])),
                    sid: Some("x".into()),
                    type_: choices.once_in(12).then(|| "terminate".into()),
                    ack: choices.pick(&[None, Some(100), Some(102), Some(u64::MAX)]),
                    ..Body::default()
                });
                let rid = sent.rid.unwrap_or_default();
                let by = Asked(Rc::default(), choices.once_in(8));
                let body = format!("<body xmlns='{}' rid='{rid}'/>", ns::BOSH);
                match session.request(&sent, rid, body.into(), by) {
                    Ok(due) => answer(due),
                    Err(_) => {
                        answer(session.end(whoelse_stream::bosh::Refusal::ItemNotFound));
                        assert!(session.is_over());
                    }
                }
            }
            3 => {
                let mut buffer = [0; 16];
                let length = session.read(&mut buffer[..choices.pick(&[1, 7, 16])]);
                read.extend_from_slice(&buffer[..length]);
                answer(session.release());
            }
            4 => answer(session.expire(choices.pick(&[100, 101, 102, 103, 104]))),
            _ => {
                let said = choices.pick(&[&b"<a/>"[..], b"<a/>", b"<a/>", b"\x04", b"<a/>\x05"]);
                answer(session.say(said).into_iter().flatten());
            }
        }
    }
    let text = String::from_utf8(read).expect("what was sent is text");
    let numbers = text.split(" rid='").skip(1).filter_map(|rest| rest.split_once('\''));
    let numbers: Vec<u64> = numbers.filter_map(|(number, _)| number.parse().ok()).collect();
    assert!(numbers.iter().copied().eq((100..).take(numbers.len())), "{numbers:?}");
}
