//! Requests that the server answers, for itself or on behalf of an account.

use super::*;

impl InFlight {
    pub(super) fn request(self, target: Target, subject: Option<Arc<Account>>) -> Routed {
        let verb = if self.stanza.type_() == Some("get") { Verb::Get } else { Verb::Set };
        let Some(child) = self.payloads().next().cloned() else {
            return self.refuse_with(Condition::BadRequest);
        };
        let cx = SessionCx::new(self.node.clone(), self.session.clone(), target, subject);
        let answering = match self.node.wiring.request(verb, &child) {
            Some(route) if route.at.contains(&target) => {
                (route.handler)(cx, self.stanza.clone(), child.clone())
            }
            _ => return self.refuse_with(Condition::ServiceUnavailable),
        };
        // On a task of its own: a lost connection does not cancel it, a fault in it is an answer.
        let working = tokio::spawn(answering);
        let abort = working.abort_handle();
        Routed::Waits(Box::pin(async move {
            let deadline = self.node.clock.steady().after(self.node.settings().limits.request);
            let answer = tokio::select! {
                answer = working => answer.unwrap_or_else(|_| {
                    let asking = self.session.account.jid();
                    self.node.failing("request_failed", Some(asking), &FAULT_OF_OURS);
                    Err(StanzaError::new(Condition::InternalServerError))
                }),
                () = self.node.clock.sleep_until(deadline) => {
                    abort.abort();
                    Err(StanzaError::new(Condition::RemoteServerTimeout))
                }
            };
            match answer {
                Ok(Reply::Sent) => {}
                Ok(Reply::Result(payload)) => self.session.push(
                    Element::new("iq")
                        .attr("type", "result")
                        .attr_opt("id", self.stanza.id())
                        .attr_opt("from", self.stanza.to())
                        .attr("to", self.session.jid.as_str())
                        .raw(&payload)
                        .outgoing(Class::IqAnswer),
                ),
                Err(error) => self.session.answer_error(&self.stanza, &error),
            }
            self.done();
        }))
    }
}
