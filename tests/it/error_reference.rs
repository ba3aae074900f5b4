//! docs/errors.md is made from the codes themselves, so that it cannot drift.
//!
//! `HEADFAST_REGENERATE=1 tests/run error_reference` writes it anew.

use headfast::finding::{Code, Verdict};
use std::fmt::Write;
use std::path::Path;

/// Every way to end with an error, in the order of the exit codes, and what it means for the host.
const VERDICTS: [(Verdict, &str, &str); 7] = [
    (Verdict::Failed, "failed", "The host, git or the network got in the way. It is tried again."),
    (Verdict::Usage, "usage", "The program was called wrongly, or agent.yaml is not valid."),
    (Verdict::Invalid, "invalid", "The repository's content is wrong. The next commit is judged anew."),
    (Verdict::Refused, "refused", "A gate said no. Nothing was written."),
    (Verdict::RolledBack, "rolled back", "The new files failed in use, and the previous ones are back."),
    (Verdict::Stuck, "stuck", "A person is needed."),
    (Verdict::Busy, "busy", "Another process is at work."),
];

fn reference() -> String {
    let mut text = String::from(
        "# Error codes\n\n\
         <!-- Generated from src/finding.rs by `HEADFAST_REGENERATE=1 tests/run error_reference`; do not edit. -->\n\n\
         Every error has a code that stays the same between versions.\n\
         It decides the exit code, and it is in `--json`, in the records of `headfast history` and in posted statuses.\n\
         A line tells where (`file:line:column`) and, after `hint:`, what to do.\n\
         When several errors came up, all of them are shown.\n\
         What to do about the worst of them at night is in [recovery.md](recovery.md).\n\n\
         ## Exit codes\n\n\
         | exit | means | |\n|---|---|---|\n\
         | 0 | done | Done, or there was nothing to do. |\n",
    );
    for (verdict, name, meaning) in VERDICTS {
        if verdict == Verdict::RolledBack {
            text.push_str(
                "| 5 | differences | `drift` or `fsck` found some, or `plan` and `diff` with `--exit-code`. No error. |\n",
            );
        }
        let _ = writeln!(text, "| {} | {name} | {meaning} |", verdict.exit_code());
    }
    text.push_str("\n## Codes\n\n| code | exit | meaning |\n|---|---|---|\n");
    let mut codes: Vec<&Code> = Code::ALL.iter().collect();
    codes.sort_by_key(|it| it.name);
    for code in codes {
        let verdict = VERDICTS.iter().find(|it| it.0 == code.verdict);
        let (exit, name) = verdict.map_or((0, "unknown"), |it| (it.0.exit_code(), it.1));
        let _ = writeln!(text, "| `{}` | {exit} {name} | {} |", code.name, code.meaning.replace('|', "\\|"));
    }
    text
}

#[test]
fn the_error_reference_is_up_to_date() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/errors.md");
    let reference = reference();
    if std::env::var_os("HEADFAST_REGENERATE").is_some() {
        std::fs::write(&path, &reference).expect("docs/errors.md can be written");
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    let first_difference = reference.lines().zip(written.lines()).find(|(new, old)| new != old);
    assert!(
        written == reference,
        "docs/errors.md is out of date: run HEADFAST_REGENERATE=1 tests/run error_reference\n{first_difference:?}"
    );
}

#[test]
fn no_code_is_without_an_exit_code() {
    for code in Code::ALL {
        assert!(
            VERDICTS.iter().any(|it| it.0 == code.verdict),
            "{code} has a verdict that docs/errors.md does not explain"
        );
    }
}
