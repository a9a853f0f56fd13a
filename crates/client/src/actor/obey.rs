//! Orders while logged in, with or without a connection.

use std::time::Instant;

use tokio::sync::oneshot;

use crate::connect::Connector;
use crate::error::{LoginError, NotSent, RegisterError, RequestError};
use crate::order::Order;
use crate::session::Session;

/// Carries out an order, with or without a connection. Returns the channel for the answer if it
/// was a logout.
pub(super) fn obey(
    connector: &mut Connector,
    session: &mut Session,
    order: Order,
) -> Option<oneshot::Sender<()>> {
    let now = Instant::now();
    match order {
        Order::Logout(done) => return Some(done),
        Order::Message { id, to, text, reply } => {
            let _ = reply.send(if_room(session, |it| it.message(id, to, text, now)));
        }
        Order::Subscription(type_, to, reply) => {
            let _ = reply.send(if_room(session, |it| it.subscription(type_, to, now)));
        }
        Order::Stanza(bytes, mine, reply) => {
            let _ = reply.send(if_room(session, |it| it.stanza(bytes, mine, now)));
        }
        Order::Claim(listener, address) => session.claim(listener, address),
        Order::Release(address) => session.release(&address),
        Order::ShowTo(whom, reply) => {
            let _ = reply.send(if_room(session, |it| it.show_to(&whom, now)));
        }
        Order::Devices(who, reply) => {
            let _ = reply.send(Ok(session.devices(&who)));
        }
        Order::Contacts(reply) => {
            let _ = reply.send(Ok(session.contacts()));
        }
        Order::Request(_, reply) if session.is_full() => {
            let _ = reply.send(Err(RequestError::TooMany));
        }
        Order::Request(request, reply) => session.ask(request, reply, now),
        Order::Settle(done) => session.ask_barrier(done, now),
        Order::LeaveUnread(done) => {
            connector.config.unread = true;
            session.leave_unread();
            let _ = done.send(());
        }
        Order::Connect(reply) => {
            let _ = reply.send(Ok(()));
        }
        Order::Login(_, reply) => {
            let _ = reply.send(Err(LoginError::LoggedInAlready));
        }
        Order::CanRemember(_, reply) => {
            let _ = reply.send(false);
        }
        // It takes effect if the session has to reconnect.
        Order::Trust(fingerprint, done) => {
            connector.config.accepted = Some(fingerprint);
            let _ = done.send(());
        }
        Order::Probe(_, reply) => {
            let _ = reply.send(Err(RegisterError::Refused("logged in".to_owned())));
        }
        Order::Register(_, _, reply) => {
            let _ = reply.send(Err(RegisterError::Refused("logged in".to_owned())));
        }
    }
    None
}

/// Carries out an order, unless the queue is full.
fn if_room(session: &mut Session, wish: impl FnOnce(&mut Session)) -> Result<(), NotSent> {
    if session.is_full() {
        return Err(NotSent::TooMany);
    }
    wish(session);
    Ok(())
}
