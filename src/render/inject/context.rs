//! What kind of file an output is, and which characters matter in it.

use crate::document::Format;
use std::collections::BTreeSet;

/// How whoever reads an output understands it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::render) enum Context {
    /// Text, in which a value may be anything.
    Free,
    /// Lines of any other kind.
    #[default]
    Lines,
    /// A document whose structure can be compared.
    Document(Format),
    Ini,
    Env,
    Shell,
    Systemd,
    Crontab,
}

const FREE_ENDINGS: &[&str] = &[
    "txt", "md", "rst", "adoc", "html", "htm", "xhtml", "xml", "svg", "css", "csv", "tex", "tmpl", "tpl", "pem", "crt",
    "cer", "cert", "key", "pub", "csr", "asc", "gpg", "sig", "eml", "ics", "sql", "lua", "log",
];
const FREE_NAMES: &[&str] = &["motd", "issue", "issue.net", "readme", "license", "changelog", "notice"];
const UNIT_ENDINGS: &[&str] = &[
    "service",
    "socket",
    "timer",
    "mount",
    "automount",
    "path",
    "target",
    "slice",
    "swap",
    "device",
    "link",
    "network",
    "netdev",
    "nspawn",
    "container",
    "kube",
    "pod",
    "volume",
];
const SHELLS: &[&str] = &["sh", "bash", "dash", "ksh", "mksh", "zsh", "ash"];

impl Context {
    /// Returns the kind of the file `path`, made from a template that starts with `source`.
    pub(in crate::render) fn of(path: &str, source: &str) -> Context {
        let (folders, name) = path.rsplit_once('/').unwrap_or(("", path));
        let name = name.to_ascii_lowercase();
        let folder = folders.rsplit('/').next().unwrap_or_default();
        let ending = name.rsplit_once('.').map(|(_, it)| it).unwrap_or_default();
        if is_shebang(source) {
            return Context::Shell;
        }
        if matches!(folder, "cron.d" | "crontabs") || matches!(ending, "cron" | "crontab") || name == "crontab" {
            return Context::Crontab;
        }
        let is_drop_in = |it: &str| it.strip_suffix(".d").is_some_and(|it| it.ends_with(".conf") || is_unit(it));
        let is_systemds = folders.split('/').any(|it| it == "systemd") || is_drop_in(folder);
        if is_unit(&name) || ending == "conf" && is_systemds {
            return Context::Systemd;
        }
        if ending == "env" || name.starts_with(".env.") {
            return Context::Env;
        }
        let is_rc = |it: &str| it.starts_with(".bash") || it.starts_with(".zsh") || matches!(it, ".profile" | ".envrc");
        if SHELLS.contains(&ending) || is_rc(&name) {
            return Context::Shell;
        }
        match ending {
            "ini" | "cfg" => Context::Ini,
            _ if FREE_ENDINGS.contains(&ending) || FREE_NAMES.contains(&name.as_str()) => Context::Free,
            _ => match Format::of_path(&name) {
                Some(format @ (Format::Yaml | Format::Json | Format::Toml)) => Context::Document(format),
                _ => Context::Lines,
            },
        }
    }

    /// Returns what the file is, with its article.
    pub(in crate::render) fn words(self) -> &'static str {
        match self {
            Context::Free => "a text",
            Context::Lines => "a file of lines",
            Context::Document(Format::Json) => "JSON",
            Context::Document(Format::Toml) => "TOML",
            Context::Document(_) => "YAML",
            Context::Ini => "an INI file",
            Context::Env => "a file of environment variables",
            Context::Shell => "a shell script",
            Context::Systemd => "a systemd unit",
            Context::Crontab => "a crontab",
        }
    }

    /// Returns what to do about a value that would break out.
    pub(in crate::render) fn hint(self, is_line: bool) -> &'static str {
        match self {
            Context::Document(Format::Json | Format::Toml) => {
                "use `| tojson` without quotes around it, or `| safe` when it is meant"
            }
            Context::Document(_) if is_line => {
                "use `| tojson` without quotes around it, `| indent(…)` in a block, or `| safe` when it is meant"
            }
            Context::Document(_) => "use `| tojson` without quotes around it, or `| safe` when it is meant",
            Context::Shell => "use `| quote` without quotes around it, or `| safe` when it is meant",
            Context::Systemd => "use `| systemd` without quotes around it, or `| safe` when it is meant",
            Context::Crontab => "use `| crontab` without quotes around it, or `| safe` when it is meant",
            Context::Env => "use `| dotenv` without quotes around it, or `| safe` when it is meant",
            Context::Ini => "INI cannot hold it: change the value, or use `| safe` when it is meant",
            Context::Lines | Context::Free => {
                "loop over `| lines`, use `| indent(…)` for lines that belong there, or `| safe` when it is meant"
            }
        }
    }

    /// Returns whether lines that a template indents are lines that it wants.
    pub(super) fn takes_indented_lines(self) -> bool {
        matches!(self, Context::Free | Context::Lines | Context::Document(Format::Yaml))
    }

    /// Returns the characters of `text` that could matter here, wherever it stands.
    pub(super) fn matters(self, text: &str) -> BTreeSet<char> {
        let any = |special: &str| text.chars().filter(|it| is_control(*it) || special.contains(*it)).collect();
        match self {
            Context::Free => BTreeSet::new(),
            Context::Lines => any(""),
            Context::Ini => any("\"'\\]"),
            Context::Env => any("\"'\\$`"),
            // Between the quotes that a value has itself, it must be known to be the value.
            Context::Systemd | Context::Crontab if text.contains(['"', '\'']) => text.chars().collect(),
            Context::Systemd => any("\\%;"),
            Context::Crontab => any("\\%$`"),
            Context::Shell => text.chars().filter(|it| !is_harmless_in_shell(*it)).collect(),
            Context::Document(Format::Json) if text.contains("//") || text.contains("/*") => any("\"\\{}[],:/*\t"),
            Context::Document(Format::Json) => any("\"\\{}[],:\t"),
            Context::Document(Format::Toml) => any("\"'\\{}[],=#"),
            Context::Document(_) => matters_in_yaml(text),
        }
    }
}

/// Returns whether a character ends lines, or shows nothing.
pub(super) fn is_control(it: char) -> bool {
    it.is_control() && it != '\t' || matches!(it, '\u{2028}' | '\u{2029}')
}

/// Returns whether a shell takes a character as it is, outside of quotes as well.
pub(super) fn is_harmless_in_shell(it: char) -> bool {
    it.is_alphanumeric() || "_./:@%+,=-".contains(it)
}

/// Returns the indicators of a text that has one where YAML could see it.
fn matters_in_yaml(text: &str) -> BTreeSet<char> {
    let is_item = |it: &str| {
        let starts = ["- ", "? ", "-\t", "?\t"].iter().any(|start| it.starts_with(start));
        starts || matches!(it, "-" | "?" | "---" | "..." | "<<")
    };
    let is_seen = |line: &str| {
        line.trim_end().ends_with(':')
            || [": ", " #", "\t#", ":\t"].iter().any(|it| line.contains(it))
            || line.contains(['"', '\'', '\\', ',', '[', ']', '{', '}'])
            || line.trim_start().starts_with(['&', '*', '!', '|', '>', '%', '@', '`', '#'])
            || is_item(line.trim())
    };
    if !text.lines().any(is_seen) && !text.chars().any(is_control) {
        return BTreeSet::new();
    }
    let has_item = text.lines().any(|it| is_item(it.trim()));
    let special = |it: char| ":#[]{},&*!|>%@`\"'\\".contains(it) || has_item && "-?<.".contains(it);
    text.chars().filter(|it| is_control(*it) || special(*it)).collect()
}

fn is_unit(name: &str) -> bool {
    name.rsplit_once('.').is_some_and(|(_, it)| UNIT_ENDINGS.contains(&it))
}

/// Returns whether the first line asks for a shell.
fn is_shebang(source: &str) -> bool {
    let Some(line) = source.strip_prefix("#!") else { return false };
    let words = line.lines().next().unwrap_or_default().split_whitespace().take(3);
    words.into_iter().any(|it| SHELLS.contains(&it.rsplit('/').next().unwrap_or_default()))
}
