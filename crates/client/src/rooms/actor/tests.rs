//! The task of the rooms beside a session that the test plays: what it has sent, and what it makes of the
//! answers.

#![allow(clippy::unwrap_used)]

use tokio::task::JoinHandle;
use whoelse_xmpp::FullJid;

use super::*;
use crate::error::{NotSent, RequestError};
use crate::kit::Kit;
use crate::order::{Order as ToSession, Reply};
use crate::request::Answer;
use crate::rooms::{RoomEvent, Rooms, Wanted};

struct Bench {
    rooms: Rooms,
    /// What the session is told to do.
    ordered: mpsc::Receiver<ToSession>,
    /// What it tells.
    tell: mpsc::Sender<Heard>,
    told: mpsc::Receiver<Told>,
}

/// What the interface is told.
#[derive(Debug)]
enum Told {
    Room(RoomNews),
    Session,
}

impl From<RoomNews> for Told {
    fn from(news: RoomNews) -> Told {
        Told::Room(news)
    }
}

impl From<Event> for Told {
    fn from(_: Event) -> Told {
        Told::Session
    }
}

fn me() -> FullJid {
    FullJid::parse("alice@a.example/x").unwrap()
}

fn lunch() -> BareJid {
    BareJid::parse("lunch@rooms.a.example").unwrap()
}

fn refused(condition: Condition) -> RequestError {
    RequestError::Refused(StanzaError::new(condition))
}

impl Bench {
    /// Beside a session that has just begun.
    async fn begun() -> Bench {
        let (client, ordered) = Client::by_hand(&me());
        let mut kit = Kit::default();
        let listener = Rooms::listen(&mut kit);
        let tell = kit.into_parts().1.remove(0);
        let (face, told) = mpsc::channel(64);
        let rooms = Rooms::start(client, listener, face);
        let bench = Bench { rooms, ordered, tell, told };
        bench.tell.send(Heard::LoggedIn { me: me() }).await.unwrap();
        bench
    }

    /// Beside a session of a server that offers nothing of what is asked after a login.
    async fn new() -> Bench {
        let mut bench = Bench::begun().await;
        bench.is_prepared_with(refused(Condition::ServiceUnavailable)).await;
        bench
    }

    /// Answers all that is asked after a login: where rooms are, who is blocked, what is noted.
    async fn is_prepared_with(&mut self, answer: RequestError) {
        for _ in 0..3 {
            self.answers(Err(answer.clone())).await;
        }
    }

    /// The same, in a room.
    async fn in_a_room() -> Bench {
        let mut bench = Bench::new().await;
        let rooms = bench.rooms.clone();
        let entering =
            tokio::spawn(async move { rooms.enter(&lunch(), "alice", None, false).await });
        bench.takes(Ok(())).await;
        bench
            .hears(
                "<presence from='lunch@rooms.a.example/alice'>\
                 <x xmlns='http://jabber.org/protocol/muc#user'><status code='110'/></x></presence>",
            )
            .await;
        assert_eq!(entering.await.unwrap(), Ok(Wanted::Asked));
        assert!(matches!(bench.news().await, RoomEvent::Entered { .. }));
        bench
    }

    async fn hears(&self, xml: &str) {
        let stanza = Stanza::parse(xml.as_bytes().to_vec()).unwrap();
        self.tell.send(Heard::Stanza(stanza)).await.unwrap();
    }

    /// Waits for a request; returns its mark, if it has one, and what its answer is sent to.
    async fn asked(&mut self) -> (Option<u64>, Reply) {
        match self.ordered.recv().await {
            Some(ToSession::Request(request, reply)) => {
                (request.mark.map(|mark| mark.number), reply)
            }
            other => panic!("no request: {other:?}"),
        }
    }

    /// Answers a request, as a session does.
    async fn answers(&mut self, answer: Result<Answer, RequestError>) {
        let asked = self.asked().await;
        self.gives(asked, answer).await;
    }

    async fn gives(
        &self,
        (mark, reply): (Option<u64>, Reply),
        answer: Result<Answer, RequestError>,
    ) {
        let is_answer = answer.as_ref().err().is_none_or(RequestError::is_answer);
        if let Some(mark) = mark.filter(|_| is_answer) {
            self.tell.send(Heard::Answered(mark)).await.unwrap();
        }
        let _ = reply.send(answer);
    }

    /// Takes a stanza, or does not.
    async fn takes(&mut self, answer: Result<(), NotSent>) {
        loop {
            match self.ordered.recv().await {
                Some(ToSession::Claim(..)) => {}
                Some(ToSession::Stanza(_, _, reply)) => break reply.send(answer).unwrap(),
                other => panic!("no stanza: {other:?}"),
            }
        }
    }

    /// Lets all tasks do what they can.
    async fn everybody_is_idle(&self) {
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
    }

    /// Takes a message; returns its id.
    async fn takes_message(&mut self) -> String {
        match self.ordered.recv().await {
            Some(ToSession::Stanza(written, _, reply)) => {
                reply.send(Ok(())).unwrap();
                let stanza = Stanza::parse(written.to_vec()).unwrap();
                stanza.id().unwrap().to_owned()
            }
            other => panic!("no stanza: {other:?}"),
        }
    }

    /// Waits until it is noted that the server has not said where rooms are.
    async fn failure(&self) {
        let mut service = self.rooms.service.clone();
        service.wait_for(|it| matches!(it, Service::Failed(_))).await.unwrap();
    }

    async fn news(&mut self) -> RoomEvent {
        match self.told.recv().await {
            Some(Told::Room(news)) => news.what,
            other => panic!("no news: {other:?}"),
        }
    }

    /// Invites bob.
    fn invites(&self) -> JoinHandle<Result<(), NotSaid>> {
        let rooms = self.rooms.clone();
        let bob = BareJid::parse("bob@a.example").unwrap();
        tokio::spawn(async move { rooms.invite(&lunch(), &bob).await })
    }
}

#[tokio::test]
async fn only_what_the_room_has_answered_is_said_to_be_done() {
    let mut bench = Bench::in_a_room().await;

    for (answer, outcome) in [
        (RequestError::TimedOut, Err(NotSaid::TimedOut)),
        (refused(Condition::RemoteServerNotFound), Err(NotSaid::TimedOut)),
        (RequestError::ConnectionLost, Err(NotSaid::ConnectionLost)),
        (RequestError::NotLoggedIn, Err(NotSaid::NotLoggedIn)),
        (refused(Condition::FeatureNotImplemented), Ok(())),
    ] {
        let inviting = bench.invites();
        bench.takes(Ok(())).await;
        bench.answers(Err(answer.clone())).await;
        assert_eq!(inviting.await.unwrap(), outcome, "{answer:?}");
    }
}

#[tokio::test]
async fn what_a_room_refuses_before_it_answers_is_refused_whichever_is_noticed_first() {
    let mut bench = Bench::in_a_room().await;

    for answer_first in [true, false] {
        let inviting = bench.invites();
        let id = bench.takes_message().await;
        let (mark, reply) = bench.asked().await;
        let mark = Heard::Answered(mark.unwrap());
        let refusal = format!(
            "<message type='error' id='{id}' from='lunch@rooms.a.example'><error type='auth'>\
             <forbidden xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>"
        );
        let answer = Err(refused(Condition::FeatureNotImplemented));
        if answer_first {
            let _ = reply.send(answer);
            bench.everybody_is_idle().await;
            bench.hears(&refusal).await;
            bench.tell.send(mark).await.unwrap();
        } else {
            bench.hears(&refusal).await;
            bench.tell.send(mark).await.unwrap();
            let _ = reply.send(answer);
        }

        let Err(NotSaid::Refused(why)) = inviting.await.unwrap() else { panic!() };
        assert_eq!(why.condition, Condition::Forbidden, "{answer_first}");
    }
}

#[tokio::test]
async fn what_another_device_notes_after_the_bookmarks_were_read_stays_noted() {
    let mut bench = Bench::begun().await;
    for _ in 0..2 {
        bench.answers(Err(refused(Condition::ServiceUnavailable))).await;
    }
    let (mark, reply) = bench.asked().await;

    bench.tell.send(Heard::Answered(mark.unwrap())).await.unwrap();
    bench
        .hears(
            "<message from='alice@a.example'><event xmlns='http://jabber.org/protocol/pubsub#event'>\
             <items node='urn:xmpp:bookmarks:1'><item id='lunch@rooms.a.example'>\
             <conference xmlns='urn:xmpp:bookmarks:1' autojoin='true'/></item></items></event>\
             </message>",
        )
        .await;
    bench.everybody_is_idle().await;
    // There were none.
    let _ = reply.send(Err(refused(Condition::ItemNotFound)));

    bench.takes(Ok(())).await;
    bench.rooms.settle().await;
    assert!(bench.rooms.view(&lunch()).await.is_some(), "it is being entered");
}

#[tokio::test]
async fn what_never_left_is_not_said_to_be_done() {
    let mut bench = Bench::in_a_room().await;

    for (why, outcome) in
        [(NotSent::TooMany, NotSaid::TooMany), (NotSent::NotLoggedIn, NotSaid::NotLoggedIn)]
    {
        let inviting = bench.invites();
        bench.takes(Err(why)).await;
        assert_eq!(inviting.await.unwrap(), Err(outcome));
    }
}

#[tokio::test]
async fn what_was_open_in_the_former_session_is_given_up_in_a_new_one() {
    let mut bench = Bench::in_a_room().await;
    let inviting = bench.invites();
    bench.takes(Ok(())).await;
    let _unanswered = bench.asked().await;

    bench.tell.send(Heard::Reconnected { me: me() }).await.unwrap();

    assert_eq!(inviting.await.unwrap(), Err(NotSaid::ConnectionLost));
}

#[tokio::test]
async fn what_the_session_does_not_take_has_its_verdict() {
    let mut bench = Bench::in_a_room().await;
    let id = || "m1".to_owned();

    assert_eq!(bench.rooms.say(&lunch(), id(), "hi").await, Ok(()));
    bench.takes(Err(NotSent::TooMany)).await;

    assert_eq!(bench.news().await, RoomEvent::Sent { id: id() });
    assert_eq!(bench.news().await, RoomEvent::NotSent { id: id() });
    bench.rooms.settle().await;
}

#[tokio::test]
async fn a_server_that_has_not_said_where_rooms_are_is_asked_again() {
    let mut bench = Bench::new().await;
    assert_eq!(bench.rooms.service().await, Ok(None), "it has refused for good");

    bench.tell.send(Heard::Reconnected { me: me() }).await.unwrap();
    bench.is_prepared_with(RequestError::ConnectionLost).await;
    for why in [RequestError::TimedOut, refused(Condition::ResourceConstraint)] {
        // What has failed before is told to nobody who asks now.
        bench.failure().await;
        let rooms = bench.rooms.clone();
        let asking = tokio::spawn(async move { rooms.service().await });
        bench.is_prepared_with(why.clone()).await;
        assert_eq!(asking.await.unwrap(), Err(why.clone()));
    }
    bench.failure().await;
    let rooms = bench.rooms.clone();
    let asking = tokio::spawn(async move { rooms.service().await });
    bench.is_prepared_with(refused(Condition::ServiceUnavailable)).await;
    assert_eq!(asking.await.unwrap(), Ok(None));
}

#[tokio::test]
async fn what_the_former_session_could_not_say_is_no_answer_of_the_new_one() {
    let mut bench = Bench::new().await;
    bench.tell.send(Heard::Reconnected { me: me() }).await.unwrap();
    let former = [bench.asked().await, bench.asked().await];
    bench.tell.send(Heard::Reconnected { me: me() }).await.unwrap();
    let now = [bench.asked().await, bench.asked().await];

    for asked in former {
        bench.gives(asked, Err(RequestError::ConnectionLost)).await;
    }
    // The bookmarks are asked for after the failure was noted.
    bench.answers(Err(RequestError::ConnectionLost)).await;
    let rooms = bench.rooms.clone();
    let asking = tokio::spawn(async move { rooms.service().await });
    for asked in now {
        bench.gives(asked, Err(refused(Condition::ServiceUnavailable))).await;
    }

    assert_eq!(asking.await.unwrap(), Ok(None));
}

#[tokio::test]
async fn presence_that_the_session_does_not_take_is_answered() {
    let mut bench = Bench::new().await;
    let rooms = bench.rooms.clone();
    let entering = tokio::spawn(async move { rooms.enter(&lunch(), "alice", None, false).await });

    bench.takes(Err(NotSent::TooMany)).await;

    assert_eq!(entering.await.unwrap(), Err(NotEntered::NotSent));
}
