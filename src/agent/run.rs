//! The loop around the machine: timers, pushes, signals, systemd.

use super::control::{Reply, Request};
use super::listener::{Asked, ControlSocket, Take};
use super::machine::{Effect, Event, Job, Machine, Moment, Pace};
use super::worker::{self, CarryOut, Done, Shop, Task};
use crate::finding::Code;
use crate::manifest::DriftMode;
use crate::monitor::{ConfigWatcher, git_dir};
use crate::observe::{self, Metrics};
use crate::revision::RemoteUrl;
use crate::schedule::Cron;
use crate::settings::{Repository, Settings};
use crate::state::{self, Lock};
use chrono::Utc;
use sd_notify::NotifyState;
use std::collections::BTreeMap;
use std::sync::{Arc, mpsc};
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::Instant;

/// How long a push is waited out, because git renames several files for one.
const SETTLE: Duration = Duration::from_millis(100);

/// How long one job may take before the watchdog is no longer fed, so that systemd restarts a daemon that hangs.
const JOB_MAX: Duration = Duration::from_secs(3600);

/// Why the daemon could not start or go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The state cannot be used, or another agent has it.
    #[error(transparent)]
    State(#[from] state::Error),
    /// The listener cannot be opened.
    #[error(transparent)]
    Observe(#[from] observe::Error),
    /// The operating system refused a thread, a timer or a signal handler.
    #[error("cannot {what}: {source}")]
    Os {
        /// What was being done.
        what: &'static str,
        /// The cause.
        source: std::io::Error,
    },
    /// The worker ended although nobody asked it to.
    #[error("the worker thread ended unexpectedly")]
    WorkerGone,
}

impl Error {
    /// Returns the documented code.
    pub fn code(&self) -> Code {
        match self {
            Error::State(error) => error.code(),
            Error::Observe(error) => error.code(),
            Error::Os { .. } | Error::WorkerGone => Code::IO,
        }
    }
}

/// Runs the daemon until SIGTERM or SIGINT; a job that is running then is finished first. It holds the state's lock for as long
/// as it lives, and `carry_out` does for others what they ask for over the control socket.
pub fn run(settings: Settings, carry_out: Arc<CarryOut>) -> Result<(), Error> {
    let lock = Arc::new(Lock::take(&settings.state_dir, "agent")?);
    let socket = ControlSocket::open(&settings.state_dir, &lock).map_err(os("open the control socket"))?;
    // Before systemd hears that the service is ready, and before anything else is tried.
    tell(&[NotifyState::ExtendTimeoutUsec(u32::try_from(JOB_MAX.as_micros()).unwrap_or(u32::MAX))]);
    worker::recover(&settings, &lock);
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(os("start the runtime"))?;
    let metrics = Arc::new(Metrics::new(settings.repositories.iter().map(|it| it.name.as_str())));
    let shop = Shop { settings: Arc::new(settings), lock, metrics, carry_out };
    let result = runtime.block_on(serve(&shop, &socket));
    socket.close();
    result
}

async fn serve(shop: &Shop, socket: &ControlSocket) -> Result<(), Error> {
    let settings = &shop.settings;
    let listener = settings.listen.metrics.map(observe::bind).transpose()?;
    let (stopping, stopped) = tokio::sync::oneshot::channel::<()>();
    let serving = listener.map(|it| {
        let stopped = async {
            stopped.await.ok();
        };
        tokio::spawn(observe::serve_metrics(it, Arc::clone(&shop.metrics), stopped))
    });
    let (done_sender, done) = unbounded_channel();
    let (tasks, thread) = worker::start(shop.clone(), done_sender).map_err(os("start the worker"))?;
    let (asks_sender, asks) = unbounded_channel();
    let (push_sender, pushes) = unbounded_channel();
    socket.serve(reception(shop, asks_sender, push_sender.clone())).map_err(os("serve the control socket"))?;
    let result = Loop::new(settings, tasks, Inbox { done, asks, pushes }, &push_sender).go().await;
    drop(stopping);
    if let Some(serving) = serving {
        serving.await.ok();
    }
    // The loop has dropped its end of the channel, so the thread ends after the job that it has.
    let joined = thread.join();
    result.and_then(|()| joined.map_err(|_| Error::WorkerGone))
}

/// Returns what is done with a request: what touches only the database at once, and the rest in its turn.
fn reception(shop: &Shop, asks: UnboundedSender<Asked>, pushes: UnboundedSender<usize>) -> Arc<Take> {
    let shop = shop.clone();
    Arc::new(move |asked: Asked| {
        tracing::info!("{} says `headfast {}`", asked.request.author, asked.request.order.verb());
        if !asked.request.order.is_quick() {
            if let Err(error) = asks.send(asked) {
                error.0.replies.send(Reply::Refused).ok();
            }
            return;
        }
        let reply = |reply| {
            asked.replies.send(reply).ok();
        };
        let exit = (shop.carry_out)(&shop.settings, &shop.lock, &asked.request, &reply);
        if exit == 0 {
            // What waited may be deployed now, or at another time than before.
            chosen(&shop.settings, &asked.request).try_for_each(|idx| pushes.send(idx)).ok();
        }
        reply(Reply::Exit(exit));
    })
}

/// Iterates over the repositories that a request is about, as places in agent.yaml.
fn chosen(settings: &Settings, request: &Request) -> impl Iterator<Item = usize> {
    let is_chosen = |it: &Repository| request.repositories.is_empty() || request.repositories.contains(&it.name);
    settings.repositories.iter().enumerate().filter(move |(_, it)| is_chosen(it)).map(|(idx, _)| idx)
}

/// What comes to the loop from elsewhere.
struct Inbox {
    done: UnboundedReceiver<Done>,
    asks: UnboundedReceiver<Asked>,
    pushes: UnboundedReceiver<usize>,
}

struct Loop<'a> {
    settings: &'a Settings,
    machine: Machine,
    started: Instant,
    tasks: mpsc::Sender<Task>,
    inbox: Inbox,
    /// Requests that wait for their turn, by number.
    asked: BTreeMap<u64, Asked>,
    n_asked: u64,
    scans: Vec<Option<(Cron, chrono::DateTime<Utc>)>>,
    job_since: Option<Instant>,
    _watchers: Vec<ConfigWatcher>,
}

impl<'a> Loop<'a> {
    fn new(
        settings: &'a Settings,
        tasks: mpsc::Sender<Task>,
        inbox: Inbox,
        pushes: &UnboundedSender<usize>,
    ) -> Loop<'a> {
        let watchers = settings.repositories.iter().enumerate().filter_map(|(idx, it)| watch(idx, it, pushes));
        let watchers = watchers.collect();
        let pace = |it: &Repository| Pace {
            seed: format!("{} {}", settings.host, it.name),
            poll: it.poll,
            scan: it.drift.mode != DriftMode::Off,
        };
        let now = Utc::now();
        let scan = |it: &Repository| {
            let cron = it.drift.scan.clone().filter(|_| it.drift.mode != DriftMode::Off)?;
            let first = cron.next(now)?;
            Some((cron, first))
        };
        Loop {
            settings,
            machine: Machine::new(settings.repositories.iter().map(pace).collect()),
            started: Instant::now(),
            tasks,
            inbox,
            asked: BTreeMap::new(),
            n_asked: 0,
            scans: settings.repositories.iter().map(scan).collect(),
            job_since: None,
            _watchers: watchers,
        }
    }

    async fn go(mut self) -> Result<(), Error> {
        let mut terminate = signal(SignalKind::terminate()).map_err(os("listen for SIGTERM"))?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(os("listen for SIGINT"))?;
        let mut hangup = signal(SignalKind::hangup()).map_err(os("listen for SIGHUP"))?;
        let watchdog = sd_notify::watchdog_enabled().map(|it| it / 2);
        let mut feed = tokio::time::interval(watchdog.unwrap_or(JOB_MAX));
        tracing::info!(host = self.settings.host, "headfast {} starts", env!("CARGO_PKG_VERSION"));
        tracing::info!("directories are opened by {}", crate::host::resolver());
        tell(&[NotifyState::Ready]);
        let mut event = Some(Event::Tick);
        loop {
            if let Some(event) = event.take()
                && self.take(event)?
            {
                tell(&[NotifyState::Stopping]);
                self.inbox.asks.close();
                while let Ok(asked) = self.inbox.asks.try_recv() {
                    asked.replies.send(Reply::Refused).ok();
                }
                return Ok(());
            }
            let wake = self.wake_at();
            event = tokio::select! {
                _ = terminate.recv() => Some(self.stop()),
                _ = interrupt.recv() => Some(self.stop()),
                // Settings are read at start; a reload that changes nothing is better than an agent that dies of it.
                _ = hangup.recv() => None,
                Some(idx) = self.inbox.pushes.recv() => Some(self.pushed(idx).await),
                Some(asked) = self.inbox.asks.recv() => Some(self.asked(asked)),
                done = self.inbox.done.recv() => Some(self.finished(done.ok_or(Error::WorkerGone)?)),
                () = tokio::time::sleep_until(wake) => Some(self.due()),
                _ = feed.tick() => {
                    self.feed(watchdog.is_some());
                    None
                }
            };
        }
    }

    /// Hands an event to the machine and does what it says; returns whether the loop ends.
    fn take(&mut self, event: Event) -> Result<bool, Error> {
        for effect in self.machine.step(self.now(), event) {
            match effect {
                Effect::Start(job) => {
                    self.job_since = Some(Instant::now());
                    let asked = if let Job::Control(id) = job { self.asked.remove(&id) } else { None };
                    self.tasks.send(Task { job, asked }).map_err(|_| Error::WorkerGone)?;
                }
                Effect::Refuse(id) => {
                    self.asked.remove(&id).map(|it| it.replies.send(Reply::Refused));
                }
                Effect::Exit => return Ok(true),
            }
        }
        Ok(false)
    }

    fn now(&self) -> Moment {
        self.started.elapsed()
    }

    fn stop(&self) -> Event {
        tell(&[NotifyState::Stopping, NotifyState::Status("finishing the last pass")]);
        Event::Stop
    }

    fn finished(&mut self, done: Done) -> Event {
        self.job_since = None;
        tell(&[NotifyState::Status(&done.status)]);
        Event::Finished { job: done.job, failed: done.failed, again: done.again }
    }

    fn asked(&mut self, asked: Asked) -> Event {
        self.n_asked += 1;
        self.asked.insert(self.n_asked, asked);
        Event::Asked(self.n_asked)
    }

    /// Waits out the rest of a push, and takes what else it has brought for one.
    async fn pushed(&mut self, idx: usize) -> Event {
        tokio::time::sleep(SETTLE).await;
        while let Ok(other) = self.inbox.pushes.try_recv() {
            if other != idx {
                // Another repository: its turn comes with the next event.
                let _next = self.take(Event::Pushed(other));
            }
        }
        Event::Pushed(idx)
    }

    fn wake_at(&self) -> Instant {
        let poll = self.machine.wake_at().map(|it| self.started + it);
        let scan = self.scans.iter().flatten().map(|it| it.1).min().map(|at| {
            let left = (at - Utc::now()).to_std().unwrap_or_default();
            // Looked at again at least once a minute, so that a clock that jumps delays a scan by no more than that.
            Instant::now() + left.min(Duration::from_secs(60))
        });
        [poll, scan].into_iter().flatten().min().unwrap_or_else(|| Instant::now() + JOB_MAX)
    }

    fn due(&mut self) -> Event {
        let now = Utc::now();
        for (idx, scan) in self.scans.iter_mut().enumerate() {
            let Some((cron, at)) = scan else { continue };
            if *at <= now {
                match cron.next(now) {
                    Some(next) => *at = next,
                    None => *scan = None,
                }
                return Event::ScanDue(idx);
            }
        }
        Event::Tick
    }

    /// Feeds the watchdog, unless a job has hung: then systemd restarts the daemon, and recovery goes on from there.
    fn feed(&self, has_watchdog: bool) {
        let hangs = self.job_since.is_some_and(|it| it.elapsed() > JOB_MAX);
        if has_watchdog && !hangs {
            tell(&[NotifyState::Watchdog]);
        }
    }
}

/// Watches the refs of a local repository. Where that fails the poll remains.
fn watch(idx: usize, repository: &Repository, pushes: &UnboundedSender<usize>) -> Option<ConfigWatcher> {
    let (RemoteUrl::Local(path) | RemoteUrl::File(path)) = &repository.url else { return None };
    let pushes = pushes.clone();
    let on_change = move || {
        // The loop is gone when nobody listens: then there is nothing to tell.
        pushes.send(idx).ok();
    };
    match ConfigWatcher::of_repository(&git_dir(std::path::Path::new(path)), on_change) {
        Ok(watcher) => Some(watcher),
        Err(error) => {
            tracing::warn!(repository = repository.name, "{error}; polling goes on");
            None
        }
    }
}

/// Tells systemd, when it listens.
fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!("systemd did not take a notification: {error}");
    }
}

fn os(what: &'static str) -> impl FnOnce(std::io::Error) -> Error {
    move |source| Error::Os { what, source }
}
