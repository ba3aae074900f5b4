//! Text that comes from a repository, made fit to be shown by a forge.

use sha2::{Digest, Sha256};

/// The longest description that every forge takes, in characters.
pub const MOST_CHARACTERS: usize = 140;

/// The longest context that every forge takes, in characters.
const LONGEST_CONTEXT: usize = 255;

/// Returns one line without control and invisible characters, which mentions nobody and fits.
pub(super) fn description(text: &str) -> String {
    cut(&without_mentions(&one_line(text)), MOST_CHARACTERS)
}

/// Returns the text with every run of white space and control characters as one space, and nothing that cannot be seen.
pub(super) fn one_line(text: &str) -> String {
    let visible: String = text
        .chars()
        .filter(|it| !is_invisible(*it))
        .map(|it| if it.is_control() || it.is_whitespace() { ' ' } else { it })
        .collect();
    visible.split(' ').filter(|it| !it.is_empty()).collect::<Vec<_>>().join(" ")
}

/// Characters that hide, join or turn round the text beside them.
fn is_invisible(it: char) -> bool {
    matches!(it,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// Puts a zero-width space into `@name`, so that no forge takes it for a mention; addresses stay as they are.
fn without_mentions(text: &str) -> String {
    let mut defused = String::with_capacity(text.len());
    let mut before = ' ';
    for it in text.chars() {
        defused.push(it);
        if it == '@' && !before.is_alphanumeric() {
            defused.push('\u{200b}');
        }
        before = it;
    }
    defused
}

/// Returns at most `most` characters; an ellipsis is the last of them when some are missing.
pub(super) fn cut(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        None => text.to_owned(),
        Some(_) => text.chars().take(most.saturating_sub(1)).chain(['…']).collect(),
    }
}

/// Returns the context of a host's statuses; `about` is empty for deployments, or `drift`.
///
/// One that is too long is cut, and told from its like by a hash.
pub fn context(environment: &str, host: &str, about: &str) -> String {
    let tail = if about.is_empty() { String::new() } else { format!("/{about}") };
    let head = one_line(&format!("headfast/{environment}/{host}"));
    let room = LONGEST_CONTEXT.saturating_sub(tail.chars().count());
    if head.chars().count() <= room {
        return head + &tail;
    }
    let hash = short_hash(&head);
    let kept: String = head.chars().take(room.saturating_sub(hash.len() + 1)).collect();
    format!("{kept}~{hash}{tail}")
}

/// Returns one component of a ref's name that git accepts; what had to be changed is told from its like by a hash.
pub(super) fn ref_component(name: &str) -> String {
    let is_plain = |it: char| it.is_ascii_alphanumeric() || matches!(it, '-' | '_' | '.');
    let plain: String = name.chars().map(|it| if is_plain(it) { it } else { '-' }).take(100).collect();
    let is_valid = !plain.is_empty()
        && !plain.starts_with('.')
        && !plain.ends_with('.')
        && !plain.ends_with(".lock")
        && !plain.contains("..");
    if is_valid && plain == name {
        return plain;
    }
    let plain = plain.replace('.', "-");
    format!("{plain}-{}", short_hash(name))
}

fn short_hash(text: &str) -> String {
    Sha256::digest(text.as_bytes())[..8].iter().map(|byte| format!("{byte:02x}")).collect()
}
