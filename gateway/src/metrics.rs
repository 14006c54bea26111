//! What a gateway counts: its requests by route and status, how long they take, and what it refuses by reason.
//!
//! A route's counters are found when its descriptors are compiled, and only then: whatever clients ask for beyond the
//! routes has one label. They outlive a change of descriptors, those of the routes that are still there.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
};

use arsenal_metrics::{Calls, Kind, Text};
use axum::body::Body;
use bytes::Bytes;
use http::{Response, StatusCode};
use http_body::{Body as _, Frame, SizeHint};

use crate::{config::Limits, failure::Reason, held::Account};

/// The statuses that are told apart, in order; all others are one.
const STATUSES: [u16; 28] = [
    101, 200, 201, 202, 204, 206, 304, 400, 401, 403, 404, 405, 406, 408, 409, 412, 413, 414, 415, 421, 429,
    431, 499, 500, 501, 502, 503, 504,
];
const ENDS: usize = STATUSES.len() + 1;

/// The status of a request whose client went away, as nginx has it.
const CLIENT_GONE: u16 = 499;

/// The requests of one route.
pub(crate) type Requests = Calls<ENDS>;

/// One of them, until its answer is at its end.
pub(crate) type Timed = arsenal_metrics::Timed<Arc<Requests>, ENDS>;

/// The counters of a gateway. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Metrics(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    routes: Mutex<BTreeMap<Route, Arc<Requests>>>,
    /// What no route answers.
    unrouted: Arc<Requests>,
    /// The gateway's own pages.
    pages: Arc<Requests>,
    /// Calls in gRPC and gRPC-Web.
    calls: Arc<Requests>,
    failures: [AtomicU64; Reason::ALL.len()],
    bodies: Account,
    answers: Account,
}

/// A route as labels tell it: the template, and the HTTP method.
type Route = (String, String);

impl Metrics {
    /// The counters of these routes, in their order. Those of other routes are forgotten.
    pub(crate) fn routes(&self, of: impl Iterator<Item = Route>) -> Box<[Arc<Requests>]> {
        let mut routes = self.0.routes.lock().unwrap_or_else(PoisonError::into_inner);
        let mut before = std::mem::take(&mut *routes);
        let counted = |route: Route| {
            let kept = before.remove(&route);
            Arc::clone(routes.entry(route).or_insert_with(|| kept.unwrap_or_default()))
        };
        of.map(counted).collect()
    }

    pub(crate) fn unrouted(&self) -> Timed {
        begin(&self.0.unrouted)
    }

    pub(crate) fn page(&self) -> Timed {
        begin(&self.0.pages)
    }

    pub(crate) fn call(&self) -> Timed {
        begin(&self.0.calls)
    }

    /// Lets bodies and answers have as much as these limits say, unless another gateway that is counted here lets them
    /// have more.
    pub(crate) fn allow(&self, limits: &Limits) {
        self.0.bodies.allow(limits.bodies_bytes_max);
        self.0.answers.allow(limits.answers_bytes_max);
    }

    /// What the bodies of requests take of what they may have together. It is here since it outlives a change of
    /// descriptors too.
    pub(crate) fn bodies(&self) -> &Account {
        &self.0.bodies
    }

    /// As [`Metrics::bodies`], for answers that are not read yet.
    pub(crate) fn answers(&self) -> &Account {
        &self.0.answers
    }

    /// The gateway says by itself that a request fails.
    pub(crate) fn fail(&self, reason: Reason) {
        self.0.failures[reason as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Writes them in Prometheus' form, with the names of OpenTelemetry's conventions where it has some. What never
    /// happened is left out.
    pub fn write(&self, text: &mut Text) {
        let routes = self.0.routes.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let own = [
            ("unmatched", "_OTHER", &self.0.unrouted),
            ("pages", "GET", &self.0.pages),
            ("grpc", "POST", &self.0.calls),
        ];
        let own = own.map(|(route, method, requests)| (route, method, Arc::clone(requests)));
        let all =
            routes.iter().map(|((route, method), requests)| (&**route, &**method, Arc::clone(requests)));
        let all: Vec<_> = all.chain(own).filter(|(_, _, requests)| requests.is_used()).collect();
        let labels = |route, method| [("http_request_method", method), ("http_route", route)];
        let mut family =
            text.family("http_server_requests_total", Kind::Counter, "Requests that were answered.");
        for (route, method, requests) in &all {
            for (way, count) in requests.ended().into_iter().enumerate().filter(|(_, count)| *count > 0) {
                let mut status = String::new();
                match STATUSES.get(way) {
                    Some(code) => write!(status, "{code}"),
                    None => write!(status, "other"),
                }
                .unwrap_or_default();
                let [method, route] = labels(*route, *method);
                family.sample(&[method, route, ("http_response_status_code", &status)], count as f64);
            }
        }
        let help = "Requests that are being answered.";
        let mut family = text.family("http_server_active_requests", Kind::Gauge, help);
        for (route, method, requests) in &all {
            family.sample(&labels(*route, *method), requests.under_way() as f64);
        }
        let help = "How long an answer took, to its end.";
        let mut family = text.family("http_server_request_duration_seconds", Kind::Histogram, help);
        for (route, method, requests) in &all {
            family.histogram(&labels(*route, *method), requests.durations());
        }
        let accounts = [
            (
                "gateway_held_body_bytes",
                "Bytes of request bodies that are held until they are whole and answered, small bodies apart.",
                &self.0.bodies,
            ),
            (
                "gateway_held_answer_bytes",
                "Bytes of answers that are held until their clients have read them, small answers apart.",
                &self.0.answers,
            ),
        ];
        for (name, help, account) in accounts {
            text.one(name, Kind::Gauge, help, account.taken() as f64);
        }
        let help = "Requests that the gateway itself refused or could not answer, by the reason that they were told.";
        let mut family = text.family("gateway_failures_total", Kind::Counter, help);
        for (reason, count) in Reason::ALL.iter().zip(&self.0.failures) {
            let count = count.load(Ordering::Relaxed);
            if count > 0 {
                family.sample(&[("reason", reason.as_str())], count as f64);
            }
        }
    }
}

/// A request of such begins.
pub(crate) fn begin(requests: &Arc<Requests>) -> Timed {
    Timed::begin(Arc::clone(requests), way_of(CLIENT_GONE))
}

fn way_of(status: u16) -> usize {
    STATUSES.binary_search(&status).unwrap_or(STATUSES.len())
}

/// The request is answered; it has ended when its client has the whole answer.
pub(crate) fn end(mut timed: Timed, response: Response<Body>) -> Response<Body> {
    let status = response.status();
    // a body of a known size is there
    if response.body().size_hint().exact().is_some() {
        timed.end(way_of(status.as_u16()));
        return response;
    }
    response.map(|inner| Body::new(Counted { inner, timed, status }))
}

/// An answer that is not at its end.
struct Counted {
    inner: Body,
    timed: Timed,
    status: StatusCode,
}

impl http_body::Body for Counted {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(context));
        if frame.is_none() || self.inner.is_end_stream() {
            let way = way_of(self.status.as_u16());
            self.timed.end(way);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(metrics: &Metrics) -> String {
        let mut text = Text::default();
        metrics.write(&mut text);
        text.into_string()
    }

    fn route(template: &str) -> Route {
        (template.to_owned(), "GET".to_owned())
    }

    #[test]
    fn statuses_are_in_order_and_reasons_stand_at_their_numbers() {
        assert!(STATUSES.is_sorted());
        for (index, reason) in Reason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, index, "{reason:?}");
        }
    }

    #[test]
    fn a_route_that_stays_keeps_its_counts_and_one_that_goes_is_forgotten() {
        let metrics = Metrics::default();
        let counted = metrics.routes([route("/a"), route("/b")].into_iter());
        for requests in &counted {
            begin(requests).end(way_of(200));
        }
        metrics.routes([route("/b"), route("/c")].into_iter());
        let text = text(&metrics);
        let sample = r#"http_server_requests_total{http_request_method="GET",http_route="/b",http_response_status_code="200"} 1"#;
        assert!(text.contains(sample), "{text}");
        assert!(!text.contains("\"/a\"") && !text.contains("\"/c\""), "{text}");
    }

    #[tokio::test]
    async fn a_stream_ends_with_its_last_frame_and_one_that_is_dropped_was_given_up() {
        use http_body_util::{BodyExt as _, StreamBody};
        let metrics = Metrics::default();
        let frames = || {
            let frames = [b"a", b"b"]
                .map(|data| Ok::<_, std::convert::Infallible>(Frame::data(Bytes::from_static(data))));
            end(metrics.call(), Response::new(Body::new(StreamBody::new(futures_util::stream::iter(frames)))))
        };
        let (whole, mut partly) = (frames(), frames().into_body());
        whole.into_body().collect().await.unwrap();
        partly.frame().await.unwrap().unwrap();
        drop(partly);
        let text = text(&metrics);
        for (status, count) in [("200", 1), ("499", 1)] {
            let sample = format!("http_response_status_code=\"{status}\"}} {count}\n");
            assert!(text.contains(&sample), "{sample} is not in\n{text}");
        }
    }
}
