//! One port's pages: a request to its answer, and a line in the log.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::header::{ACCEPT_LANGUAGE, ALLOW, HeaderValue, LOCATION, REFRESH};
use hyper::{Method, Request, StatusCode};

use super::access::Access;
use super::language::Words;
use super::page::{self, Frame, Remote};
use super::person::{Heard, Person};
use super::policy::{self, Kind};
use super::route::{Nowhere, Route};
use super::view::Sources;
use crate::door::{Answer, Handler, Peer};

const STYLE: &str = include_str!("style.css");
const ICON: &str = include_str!("icon.svg");
/// The overview is shown anew this often: whoever leaves it open sees that somebody asks.
const OVERVIEW: Duration = Duration::from_secs(30);

/// One port's pages.
#[derive(Clone)]
pub(super) struct Pages {
    pub(super) name: Arc<str>,
    pub(super) port: Arc<str>,
    pub(super) sources: Arc<Sources>,
    pub(super) person: Arc<Person>,
}

/// What is answered, before it has its headers.
struct Content {
    status: StatusCode,
    kind: Kind,
    body: Bytes,
    /// In how many seconds the browser is to look again.
    again: Option<u64>,
    /// Where it is to look now.
    there: Option<&'static str>,
}

impl Content {
    fn page(page: maud::Markup) -> Self {
        Self::of(StatusCode::OK, Kind::Html, page.into_string().into())
    }

    fn of(status: StatusCode, kind: Kind, body: Bytes) -> Self {
        Self {
            status,
            kind,
            body,
            again: None,
            there: None,
        }
    }
}

impl Handler for Pages {
    async fn answer(&self, request: Request<Incoming>, working: impl FnOnce() + Send) -> Answer {
        let (head, body) = request.into_parts();
        let (method, path) = (head.method.as_str(), head.uri.path());
        let language = head.headers.get(ACCEPT_LANGUAGE);
        let words = Words::accepted(language.and_then(|value| value.to_str().ok()));
        let query = head.uri.query();
        let target = query.map_or_else(|| path.to_owned(), |query| format!("{path}?{query}"));
        let found = Route::of(method, &target);
        let frame = Frame {
            words,
            name: &self.name,
            port: &self.port,
            here: found.ok(),
        };
        let content = if found == Ok(Route::Say) {
            let heard = self.person.say(&head.headers, body, words, working).await;
            self.said(heard, &frame).await
        } else {
            working();
            // No other takes a body: the connection ends where there is one.
            drop(body);
            self.content(found, &frame).await
        };
        let bytes = if head.method == Method::HEAD {
            0
        } else {
            content.body.len()
        };
        let answer = headed(content, found);
        let access = Access {
            port: &self.port,
            peer: head.extensions.get::<Peer>().map(|peer| peer.0),
            method,
            target: &target,
            status: answer.status().as_u16(),
            bytes,
        };
        log::info!("{access}");
        answer
    }
}

/// The answer with its headers; hyper leaves the body of one to HEAD out by itself.
fn headed(content: Content, found: Result<Route, Nowhere>) -> Answer {
    let mut answer = policy::answer(content.status, content.kind, content.body);
    let headers = answer.headers_mut();
    if let Err(Nowhere::Method(methods)) = found {
        headers.insert(ALLOW, HeaderValue::from_static(methods));
    }
    if let Some(there) = content.there {
        headers.insert(LOCATION, HeaderValue::from_static(there));
    }
    let path = found.map_or("/", Route::path);
    let refresh = content.again.map(|seconds| format!("{seconds}; url={path}"));
    if let Some(Ok(refresh)) = refresh.map(HeaderValue::try_from) {
        headers.insert(REFRESH, refresh);
    }
    answer
}

impl Pages {
    async fn content(&self, found: Result<Route, Nowhere>, frame: &Frame<'_>) -> Content {
        match found {
            Ok(Route::Overview) => {
                let shown = self.person.shown().await.unwrap_or_default();
                let page = page::overview(frame, &self.sources.look(), &shown);
                Content {
                    again: Some(OVERVIEW.as_secs()),
                    ..Content::page(page)
                }
            }
            Ok(Route::Remote | Route::Say) => self.remote(frame, None).await,
            Ok(Route::Instrument) => Content::page(page::instrument(frame, &self.sources.look())),
            Ok(Route::Updates) => {
                let view = self.sources.look();
                Content::page(page::updates(frame, view.update.as_ref()))
            }
            Ok(Route::Evidence) => {
                let packages = self.sources.packages();
                Content::page(page::evidence(frame, &self.sources.look(), &packages))
            }
            Ok(Route::Packages) => match self.sources.packages_file() {
                Some(file) => Content::of(StatusCode::OK, Kind::Json, file.into()),
                None => Content::of(StatusCode::SERVICE_UNAVAILABLE, Kind::Json, "null".into()),
            },
            Ok(Route::Style) => Content::of(StatusCode::OK, Kind::Css, Bytes::from_static(STYLE.as_bytes())),
            Ok(Route::Icon) => Content::of(StatusCode::OK, Kind::Svg, Bytes::from_static(ICON.as_bytes())),
            Err(why) => {
                let status = match why {
                    Nowhere::NotFound => StatusCode::NOT_FOUND,
                    Nowhere::Method(_) => StatusCode::METHOD_NOT_ALLOWED,
                };
                Content {
                    status,
                    ..Content::page(page::nowhere(frame, why))
                }
            }
        }
    }

    /// The answer to a form.
    async fn said(&self, heard: Heard, frame: &Frame<'_>) -> Content {
        match heard {
            // By GET, so that nothing is sent again when the page is.
            Heard::Done => Content {
                there: Some(Route::Remote.path()),
                ..Content::of(StatusCode::SEE_OTHER, Kind::Html, Bytes::new())
            },
            Heard::Not(status, why) => Content {
                status,
                ..self.remote(frame, Some(&why)).await
            },
            Heard::NoForm(status) => Content {
                status,
                ..Content::page(page::bad_form(frame))
            },
        }
    }

    async fn remote(&self, frame: &Frame<'_>, said: Option<&str>) -> Content {
        let (shown, history) = (self.person.shown().await, self.person.history().await);
        let remote = Remote {
            shown: shown.as_deref(),
            history: history.as_ref(),
            seal: &self.person.seal,
            said,
        };
        Content {
            again: Some(page::again(shown.as_deref())),
            ..Content::page(page::remote(frame, &remote))
        }
    }
}
