//! The relay towards its clients: one task a connection, a bounded number of them.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::book::{Book, Status};
use super::reach::{Reached, reach, read_message};
use super::route::{Route, routes};
use super::tunnel::carry;
use super::{Patience, http};
use crate::site::{Site, Target};

/// How many clients there may be at once.
const MOST_CLIENTS: usize = 64;

/// Everything the relay's tasks share.
#[derive(Debug)]
pub(super) struct Relay {
    routes: Vec<Route>,
    book: Book,
    patience: Patience,
    seats: Arc<Semaphore>,
}

impl Relay {
    /// A relay for the destinations of `site`; passwords are below `identity`.
    pub(super) fn new(site: &Site, identity: &Path, patience: Patience) -> Self {
        let routes = routes(site, identity);
        Self {
            book: Book::new(routes.len()),
            routes,
            patience,
            seats: Arc::new(Semaphore::new(MOST_CLIENTS)),
        }
    }

    pub(super) fn status(&self) -> Status {
        self.book.status(&self.routes)
    }

    /// Serves everybody who comes to `listener`, for ever.
    pub(super) async fn serve(self: Arc<Self>, listener: TcpListener) {
        loop {
            match listener.accept().await {
                Ok((client, from)) => {
                    tokio::spawn(Arc::clone(&self).client(client, from));
                }
                Err(error) => {
                    // Out of descriptors, perhaps: it passes.
                    log::warn!("cannot take a connection: {error}");
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
            }
        }
    }

    async fn client(self: Arc<Self>, mut client: TcpStream, from: SocketAddr) {
        let Ok(_seat) = self.seats.try_acquire() else {
            let reason = format!("the relay is busy: {MOST_CLIENTS} connections are open");
            return refuse(client, 503, &reason).await;
        };
        let mut buffer = Vec::new();
        let request = read_message(&mut client, &mut buffer, http::parse_request);
        let target = match timeout(self.patience.request, request).await {
            Ok(Ok(target)) => target,
            Ok(Err(_)) => return refuse(client, 400, "expected CONNECT HOST:PORT HTTP/1.1").await,
            Err(_) => return refuse(client, 408, "expected CONNECT HOST:PORT HTTP/1.1 sooner").await,
        };
        let Some((index, route)) = self.route(&target) else {
            log::warn!("{from} asked for {target}, which site.toml does not name");
            let reason = format!("refused: site.toml names no destination {target}");
            return refuse(client, 403, &reason).await;
        };
        match reach(route, &self.patience).await {
            Ok(reached) => self.tunnel(index, route, client, reached, &buffer).await,
            Err(trouble) => {
                self.book.failed(index, route, &trouble);
                refuse(client, trouble.cause.status(), &trouble.to_string()).await;
            }
        }
    }

    /// Carries on what `client` began; `early` is what it sent before it was told to.
    async fn tunnel(
        &self,
        index: usize,
        route: &Route,
        mut client: TcpStream,
        reached: Reached,
        early: &[u8],
    ) {
        let entry = self.book.reached(index, route);
        let Reached { mut stream, first } = reached;
        let begin = async {
            client.set_nodelay(true)?;
            client.write_all(http::CONNECTED).await?;
            client.write_all(&first).await?;
            stream.write_all(early).await
        };
        if begin.await.is_ok() {
            carry(client, stream, route.rate_limit, entry.tally(), &self.patience).await;
        }
    }

    fn route(&self, target: &Target) -> Option<(usize, &Route)> {
        let mut routes = self.routes.iter().enumerate();
        routes.find(|(_, route)| route.target == *target)
    }
}

/// Answers and closes, so that the answer arrives: what a client has sent beyond its request is read first, within
/// bounds, or the kernel would reset the connection under the answer.
async fn refuse(mut client: TcpStream, status: u16, reason: &str) {
    let answer = async {
        client.write_all(&http::refusal(status, reason)).await?;
        client.shutdown().await?;
        client.take(64 * 1024).read_to_end(&mut Vec::new()).await
    };
    // A client that has gone needs no answer.
    let _ = timeout(Duration::from_secs(2), answer).await;
}

#[cfg(test)]
mod tests;
