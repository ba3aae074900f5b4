//! What a person tells a host to do: by the daemon when there is one, by this process otherwise, in the same words.

use super::control::{end, goal};
use super::exit::{Exit, Failure};
use super::host::Host;
use super::ui::{GOOD, Ui, WARN};
use super::words::moment;
use super::{accept, drift, fsck, kept, sync};
use crate::agent::control::{self, Answer, Order, Reply, Request, VERSION};
use crate::deploy::RollbackTo;
use crate::finding::{Code, Finding};
use crate::record::Trigger;
use crate::render::escaped;
use crate::settings::{self, Settings};
use crate::state::{self, Lock, Store};
use chrono::Utc;
use std::sync::Arc;

/// Opens the state: takes its lock, or uses the daemon's.
pub type Open<'a> = dyn Fn() -> Result<Store, state::Error> + 'a;

/// Has an order carried out.
pub fn give(host: &Host, ui: &Ui, order: Order) -> Result<Exit, Failure> {
    let request = Request {
        version: VERSION,
        order,
        repositories: host.chosen().to_vec(),
        author: super::host::author(),
        settings: host.settings.path.clone(),
    };
    if let Some(exit) = ask(host, ui, &request)? {
        return Ok(exit);
    }
    let open = || Store::open(&host.settings.state_dir, request.order.verb());
    match carry_out(host, ui, &open, &request) {
        // A daemon may have started in between.
        Err(failure) if failure.is_locked() => ask(host, ui, &request)?.ok_or(failure),
        done => done,
    }
}

/// Asks the daemon; `None` when there is none.
fn ask(host: &Host, ui: &Ui, request: &Request) -> Result<Option<Exit>, Failure> {
    let dir = &host.settings.state_dir;
    let answer = control::ask(dir, request, |reply| ui.repeat(reply));
    ui.quiet();
    let lost = |finding: Finding| {
        let hint = "what it had begun is finished when it starts again; `headfast status` says how things are";
        Err(Failure::new(finding.hint(hint)))
    };
    match answer {
        Ok(None) => Ok(None),
        Ok(Some(Answer::Exit(code))) => Ok(Some(Exit::from_code(code))),
        Ok(Some(Answer::Refused)) => {
            let message = "the agent takes no orders now: it is being stopped, or too many wait; nothing was done";
            Err(Failure::new(Finding::error(Code::LOCKED, message).hint("try again in a moment")))
        }
        Ok(Some(Answer::Lost)) => lost(Finding::error(Code::IO, "the agent ended before it had answered")),
        // Whoever may not look into the directory is told so by whoever opens it.
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => Ok(None),
        Err(error) => {
            lost(Finding::error(Code::IO, format!("cannot talk to the agent that holds {}: {error}", dir.display())))
        }
    }
}

/// Carries out an order for someone who asks over the control socket: what the daemon calls.
pub fn answer(settings: &Settings, lock: &Arc<Lock>, request: &Request, reply: &dyn Fn(Reply)) -> u8 {
    let ui = Ui::relayed(reply);
    let done = check(settings, &ui, request).and_then(|()| {
        let host = Host::of(settings.clone(), &request.repositories)?;
        carry_out(&host, &ui, &|| Store::under(lock), request)
    });
    done.unwrap_or_else(|failure| ui.failure(&failure)).code()
}

/// Checks that daemon and asker mean the same agent.yaml.
fn check(settings: &Settings, ui: &Ui, request: &Request) -> Result<(), Failure> {
    if request.settings != settings.path {
        let (ours, theirs) = (settings.path.display(), request.settings.display());
        let message =
            format!("the agent that holds {} was started with {ours}, not {theirs}", settings.state_dir.display());
        let hint = "name that file, or give each agent a `state_dir` of its own";
        return Err(Failure::new(Finding::error(Code::USAGE, message).hint(hint)));
    }
    if settings::load(&settings.path).is_ok_and(|it| it != *settings) {
        ui.note(
            "the agent goes on with what agent.yaml said when it started, which is not what it says now; restart it",
        );
    }
    Ok(())
}

fn carry_out(host: &Host, ui: &Ui, open: &Open<'_>, request: &Request) -> Result<Exit, Failure> {
    match &request.order {
        Order::Sync {} => host.each(ui, &open()?, |repository, deployer| {
            let result = deployer.sync(Trigger::Manual)?;
            sync::tell(ui, repository, &result)
        }),
        Order::Rollback { to } => {
            let to = to.as_deref().map_or(Ok(RollbackTo::Previous), goal)?;
            host.one()?;
            host.each(ui, &open()?, |repository, deployer| {
                let result = deployer.rollback(&to, &request.author)?;
                sync::tell(ui, repository, &result)
            })
        }
        Order::Retry {} => host.each(ui, &open()?, |repository, deployer| {
            let result = deployer.retry()?;
            sync::tell(ui, repository, &result)
        }),
        Order::Suspend { reason, until } => {
            let until = until.as_deref().map(|it| end(it, Utc::now())).transpose()?;
            let until_when = until.as_deref().map_or("`headfast resume`".to_owned(), moment);
            host.each(ui, &open()?, |repository, deployer| {
                deployer.suspend(reason, until.clone(), &request.author)?;
                let name = escaped(&repository.name);
                ui.print(format_args!("{WARN}{name}:{WARN:#} deployments are suspended until {until_when}."))?;
                Ok(Exit::Done)
            })
        }
        Order::Resume {} => host.each(ui, &open()?, |repository, deployer| {
            let was = if deployer.resume()? { "go on" } else { "were not suspended" };
            ui.print(format_args!("{GOOD}{}:{GOOD:#} deployments {was}.", escaped(&repository.name)))?;
            Ok(Exit::Done)
        }),
        Order::AcceptFileSystems {} => accept::file_systems(host, ui, &open()?),
        Order::RestoreKept { id, path } => kept::put_back(host, ui, &open()?, id, path.as_deref()),
        // Whether the state can be opened is part of its answer.
        Order::Fsck { repair, json } => fsck::look(host, ui, open, *repair, *json),
        Order::Heal { json } => drift::heal_all(host, ui, &open()?, *json),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::Verdict;

    #[test]
    fn an_exit_is_the_same_on_both_sides() {
        let verdicts = [
            Verdict::Failed,
            Verdict::Usage,
            Verdict::Invalid,
            Verdict::Refused,
            Verdict::RolledBack,
            Verdict::Stuck,
            Verdict::Busy,
        ];
        for exit in verdicts.map(Exit::Of).into_iter().chain([Exit::Done, Exit::Differences]) {
            assert_eq!(Exit::from_code(exit.code()), exit);
        }
        assert_eq!(Exit::from_code(99), Exit::Of(Verdict::Failed));
    }
}
