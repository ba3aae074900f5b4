//! The listener for metrics: few connections, short ones.

use super::{Error, Metrics};
use axum::Router;
use axum::http::header::{CONNECTION, CONTENT_TYPE};
use axum::routing::get;
use axum::serve::Listener;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Sleep;

/// How many connections are served at once; more wait in the kernel's queue.
const MOST_CONNECTIONS: usize = 32;

/// How long a connection may take, from its first byte to its last.
const DEADLINE: Duration = Duration::from_secs(10);

/// How long open connections are waited for when the agent stops.
const GRACE: Duration = Duration::from_secs(2);

/// Opens a listener at once, so that an address that cannot be had is known before anything else begins.
pub fn bind(address: SocketAddr) -> Result<std::net::TcpListener, Error> {
    let open = || {
        let listener = std::net::TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        Ok(listener)
    };
    open().map_err(|source| Error::Listen { address, source })
}

/// Answers `GET /metrics` and `GET /healthz` until `shutdown` is ready.
pub async fn serve_metrics(
    listener: std::net::TcpListener,
    metrics: Arc<Metrics>,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), Error> {
    let listener = Few {
        listener: TcpListener::from_std(listener).map_err(Error::Stopped)?,
        room: Arc::new(Semaphore::new(MOST_CONNECTIONS)),
        deadline: DEADLINE,
    };
    serve(listener, metrics, shutdown).await
}

pub(super) async fn serve(
    listener: Few,
    metrics: Arc<Metrics>,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), Error> {
    let headers = |content_type| [(CONTENT_TYPE, content_type), (CONNECTION, "close")];
    let router = Router::new()
        .route("/metrics", get(move || async move { (headers(Metrics::CONTENT_TYPE), metrics.encode()) }))
        .route("/healthz", get(move || async move { (headers("text/plain; charset=utf-8"), "ok\n") }));
    let (stopping, stopped) = tokio::sync::oneshot::channel();
    let server = axum::serve(listener, router).with_graceful_shutdown(async move {
        shutdown.await;
        stopping.send(()).ok();
    });
    let grace = async {
        stopped.await.ok();
        tokio::time::sleep(GRACE).await;
    };
    tokio::select! {
        result = server.into_future() => result.map_err(Error::Stopped),
        () = grace => Ok(()),
    }
}

/// A listener that takes a new connection only when there is room for it.
pub(super) struct Few {
    pub(super) listener: TcpListener,
    pub(super) room: Arc<Semaphore>,
    pub(super) deadline: Duration,
}

impl Listener for Few {
    type Io = Short;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Short, SocketAddr) {
        // The semaphore is never closed; without a permit nothing is accepted.
        let Ok(permit) = Arc::clone(&self.room).acquire_owned().await else { return std::future::pending().await };
        let (stream, address) = Listener::accept(&mut self.listener).await;
        (Short { stream, deadline: Box::pin(tokio::time::sleep(self.deadline)), _permit: permit }, address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// A connection that fails when its time is over, whatever the other side does or does not do.
pub(super) struct Short {
    stream: TcpStream,
    deadline: Pin<Box<Sleep>>,
    _permit: OwnedSemaphorePermit,
}

impl Short {
    fn in_time<T>(
        &mut self,
        context: &mut Context<'_>,
        act: impl FnOnce(Pin<&mut TcpStream>, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        match self.deadline.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => act(Pin::new(&mut self.stream), context),
        }
    }
}

impl AsyncRead for Short {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.in_time(context, |stream, context| stream.poll_read(context, buffer))
    }
}

impl AsyncWrite for Short {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.in_time(context, |stream, context| stream.poll_write(context, bytes))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.in_time(context, |stream, context| stream.poll_flush(context))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.in_time(context, |stream, context| stream.poll_shutdown(context))
    }
}
