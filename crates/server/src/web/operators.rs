//! `/metrics` (OpenMetrics) and `/health`, for the operator's own tools.

use super::{Answer, of_type, text};
use crate::health::Health;
use crate::metrics::{CONTENT_TYPE, Metrics};
use hyper::body::Incoming;
use hyper::{Request, StatusCode};
use std::sync::Arc;
use tokio::sync::Mutex;
use whoelse_core::kit::BoxFuture;

/// What the answers are made from.
pub(crate) struct Site {
    pub metrics: Arc<Metrics>,
    pub health: Arc<Health>,
    /// Making a page looks at every session, so only one is made at a time.
    pub one: Mutex<()>,
}

pub(super) fn metrics(site: Arc<Site>, _: Request<Incoming>) -> BoxFuture<'static, Answer> {
    Box::pin(async move {
        let _one = site.one.lock().await;
        match site.metrics.page() {
            Ok(page) => of_type(StatusCode::OK, CONTENT_TYPE, page),
            Err(error) => {
                site.metrics.connections.node().failing("metrics_failed", None, &error);
                text(StatusCode::INTERNAL_SERVER_ERROR, "see the server's log\n")
            }
        }
    })
}

pub(super) fn health(site: Arc<Site>, _: Request<Incoming>) -> BoxFuture<'static, Answer> {
    let report = site.health.report();
    let status = match report.is_well() {
        true => StatusCode::OK,
        false => StatusCode::SERVICE_UNAVAILABLE,
    };
    let answer = of_type(status, "application/json", report.to_json() + "\n");
    Box::pin(std::future::ready(answer))
}
