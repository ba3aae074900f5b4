//! `rollback`, `retry`, `suspend` and `resume`: what a person tells a host to do.

use super::exit::{Exit, Failure};
use super::host::{Host, HostArgs};
use super::order;
use super::ui::Ui;
use crate::agent::control::Order;
use crate::deploy::RollbackTo;
use crate::document::decode::parse_duration;
use chrono::{DateTime, SecondsFormat, Utc};

/// Go back to what was live before
///
/// The files come back, with the edits that were live then, and the change is reverted in the remote as agent.yaml says.
/// Unless the revert was pushed to the branch itself, deployments are suspended until `headfast resume`.
#[derive(clap::Args, Debug)]
pub struct RollbackArgs {
    #[command(flatten)]
    host: HostArgs,
    /// The deployment's number or the commit to go back to; what was live before by default
    #[arg(long, value_name = "REVISION|DEPLOYMENT")]
    to: Option<String>,
}

/// Try again what failed here
///
/// Forgets the quarantine and makes a pass.
#[derive(clap::Args, Debug)]
pub struct RetryArgs {
    #[command(flatten)]
    host: HostArgs,
}

/// Stop deployments for a while
///
/// Drift is still reported.
#[derive(clap::Args, Debug)]
pub struct SuspendArgs {
    #[command(flatten)]
    host: HostArgs,
    /// Why, for whoever wonders
    #[arg(long)]
    reason: String,
    /// When it ends by itself: a moment (RFC 3339), or a time from now such as `2h`; never by default
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
}

/// Let deployments go on
#[derive(clap::Args, Debug)]
pub struct ResumeArgs {
    #[command(flatten)]
    host: HostArgs,
}

/// Goes back by hand.
pub fn rollback(args: &RollbackArgs, ui: &Ui) -> Result<Exit, Failure> {
    let host = Host::load(&args.host)?;
    args.to.as_deref().map(goal).transpose()?;
    host.one()?;
    order::give(&host, ui, Order::Rollback { to: args.to.clone() })
}

/// Tries again what failed.
pub fn retry(args: &RetryArgs, ui: &Ui) -> Result<Exit, Failure> {
    order::give(&Host::load(&args.host)?, ui, Order::Retry {})
}

/// Suspends deployments.
pub fn suspend(args: &SuspendArgs, ui: &Ui) -> Result<Exit, Failure> {
    let host = Host::load(&args.host)?;
    let until = args.until.as_deref().map(|it| end(it, Utc::now())).transpose()?;
    if args.reason.trim().is_empty() {
        return Err(Failure::usage("a suspension needs a reason"));
    }
    order::give(&host, ui, Order::Suspend { reason: args.reason.clone(), until })
}

/// Lifts suspensions.
pub fn resume(args: &ResumeArgs, ui: &Ui) -> Result<Exit, Failure> {
    order::give(&Host::load(&args.host)?, ui, Order::Resume {})
}

/// The most digits of a number that means a deployment; what is longer is the beginning of a commit's id.
const DEPLOYMENT_DIGITS_MAX: usize = 6;

/// Returns what `--to` means.
pub fn goal(text: &str) -> Result<RollbackTo, Failure> {
    let is_hex = !text.is_empty() && text.bytes().all(|it| it.is_ascii_hexdigit());
    match text.parse::<u32>() {
        Ok(id) if text.len() <= DEPLOYMENT_DIGITS_MAX => Ok(RollbackTo::Deployment(id.into())),
        _ if is_hex && text.len() >= 4 => Ok(RollbackTo::Revision(text.to_ascii_lowercase())),
        _ => {
            let message = format!("{text:?} is neither the number of a deployment nor the beginning of a commit's id");
            Err(Failure::usage(message))
        }
    }
}

/// Returns the moment that `--until` means, RFC 3339 in UTC.
pub fn end(text: &str, now: DateTime<Utc>) -> Result<String, Failure> {
    let moment = match (DateTime::parse_from_rfc3339(text), parse_duration(text)) {
        (Ok(moment), _) => Some(moment.to_utc()),
        (_, Some(duration)) => now.checked_add_signed(chrono::Duration::from_std(duration).unwrap_or_default()),
        _ => None,
    };
    match moment {
        Some(moment) if moment > now => Ok(moment.to_rfc3339_opts(SecondsFormat::Secs, true)),
        Some(_) => Err(Failure::usage(format!("--until {text} is over already"))),
        None => {
            Err(Failure::usage(format!("--until {text:?} is neither a moment (RFC 3339) nor a duration such as 2h")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_goal_is_a_number_or_the_beginning_of_an_id() {
        assert_eq!(goal("12").ok(), Some(RollbackTo::Deployment(12)));
        assert_eq!(goal("1234567").ok(), Some(RollbackTo::Revision("1234567".into())));
        assert_eq!(goal("ABCd").ok(), Some(RollbackTo::Revision("abcd".into())));
        for wrong in ["", "abc", "main", "-1", "12 "] {
            assert!(goal(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn the_end_is_a_moment_to_come() {
        let now = DateTime::parse_from_rfc3339("2026-01-02T03:04:05Z").unwrap().to_utc();
        assert_eq!(end("2h", now).ok().as_deref(), Some("2026-01-02T05:04:05Z"));
        assert_eq!(end("2026-01-02T10:00:00+02:00", now).ok().as_deref(), Some("2026-01-02T08:00:00Z"));
        for wrong in ["2025-01-01T00:00:00Z", "tomorrow", "", "0s"] {
            assert!(end(wrong, now).is_err(), "{wrong:?}");
        }
    }
}
