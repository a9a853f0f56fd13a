//! XEP-0124, 5: the requests of BOSH over HTTP, and what a browser asks before it sends one to
//! another origin (CORS).

use super::{Answer, Visit, of_type};
use crate::ingress::BoshRequest;
use http_body_util::BodyExt;
use hyper::body::{Bytes, Incoming};
use hyper::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_MAX_AGE, HeaderValue, ORIGIN, VARY,
};
use hyper::{Method, Request, StatusCode};
use std::sync::Arc;
use whoelse_core::kit::BoxFuture;
use whoelse_stream::bosh::{self, Refusal};

/// The path.
pub(crate) const PATH: &str = "/http-bind";
/// XEP-0124, 5: what every answer is.
const KIND: &str = "text/xml; charset=utf-8";

/// Answers a request.
pub(super) fn answer(visit: Arc<Visit>, request: Request<Incoming>) -> BoxFuture<'static, Answer> {
    Box::pin(async move {
        let origin = request.headers().get(ORIGIN).cloned();
        let answer = match request.method() == Method::OPTIONS {
            true => of_type(StatusCode::OK, KIND, ""),
            false => match ask(&visit, request.into_body()).await {
                Ok(answer) => of_type(StatusCode::OK, KIND, answer),
                Err(refusal) => {
                    // XEP-0124, 17.1: clients that read no bodies are told by the status.
                    let status = StatusCode::from_u16(refusal.status());
                    of_type(status.unwrap_or(StatusCode::BAD_REQUEST), KIND, refusal.body())
                }
            },
        };
        for_origin(answer, origin)
    })
}

/// Lets the page that has asked read the answer. Which pages may ask at all was decided before.
fn for_origin(mut answer: Answer, origin: Option<HeaderValue>) -> Answer {
    let headers = answer.headers_mut();
    headers.insert(VARY, HeaderValue::from_static("Origin"));
    if let Some(origin) = origin {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        let methods = HeaderValue::from_static("POST, OPTIONS");
        headers.insert(ACCESS_CONTROL_ALLOW_METHODS, methods);
        let names = HeaderValue::from_static("Content-Type");
        headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, names);
        headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("7200"));
    }
    answer
}

/// Reads a request in the place of its client, and has it answered.
async fn ask(visit: &Visit, body: Incoming) -> Result<Bytes, Refusal> {
    let peer = visit.peer().ok_or(Refusal::PolicyViolation)?;
    let put_out = visit.come_in(peer.network).await.ok_or(Refusal::SystemShutdown)?;
    let asked = async {
        let request = read(visit, body).await?;
        let leave = |place| visit.attach(place);
        visit.connections().answer_over_bosh(request, peer, leave).await
    };
    tokio::select! {
        biased;
        answer = asked => answer,
        () = put_out => Err(Refusal::SystemShutdown),
    }
}

/// Reads a request, no more of it than its session may send.
async fn read(visit: &Visit, mut body: Incoming) -> Result<BoshRequest, Refusal> {
    let (mut bytes, mut begins, mut known) = (Vec::new(), bosh::Head::default(), None);
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| Refusal::BadRequest)?.into_data() else { continue };
        bytes.extend_from_slice(&data);
        if known.is_none()
            && let Some(head) = begins.read(&data).map_err(|_| Refusal::BadRequest)?
        {
            let most = visit.connections().most_of_request(&head);
            known = Some((head, most.ok_or(Refusal::ItemNotFound)?));
        }
        if known.as_ref().is_some_and(|(_, most)| bytes.len() > *most) {
            return Err(Refusal::PolicyViolation);
        }
    }
    let (head, _) = known.ok_or(Refusal::BadRequest)?;
    Ok(BoshRequest { head, body: bytes.into() })
}
