//! How deeply a template nests, before it is parsed.
//!
//! minijinja has limits for brackets and blocks. It has none for rows of operators and of `elif`, which it also makes into a
//! tree, a level for each; of a row of many thousands no stack is left.

/// The most operators in a row, and the most `elif` of one `if`.
const ROW_MAX: usize = 300;

/// Returns the line of the first tag that nests too deeply, and what is wrong with it.
pub(super) fn problem(source: &str) -> Option<(usize, &'static str)> {
    let mut rest = source;
    // The number of `elif` of each `if` that is open.
    let mut ifs: Vec<usize> = Vec::new();
    while let Some(start) = opening(rest) {
        let line = || source[..source.len() - rest.len() + start].matches('\n').count() + 1;
        let (kind, inside) = (rest.as_bytes()[start + 1], &rest[start + 2..]);
        if kind == b'#' {
            rest = inside.split_once("#}")?.1;
            continue;
        }
        let length = tag(inside, if kind == b'{' { "}}" } else { "%}" });
        let text = &inside[..length];
        if longest_row(text) > ROW_MAX {
            return Some((line(), "an expression has more than 300 operators in a row"));
        }
        let words = text.trim_start_matches(['-', '+']).trim_start();
        match words.split(|it: char| !it.is_alphanumeric()).next().unwrap_or_default() {
            _ if kind == b'{' => {}
            "if" => ifs.push(0),
            "endif" => drop(ifs.pop()),
            "elif" => {
                *ifs.last_mut()? += 1;
                if ifs.iter().sum::<usize>() > ROW_MAX {
                    return Some((line(), "an `if` has more than 300 `elif`"));
                }
            }
            "raw" => {
                let end = inside.find("endraw").unwrap_or(inside.len());
                rest = &inside[end..];
                continue;
            }
            _ => {}
        }
        rest = &inside[length..];
    }
    None
}

/// Returns where the next tag or comment opens.
fn opening(text: &str) -> Option<usize> {
    text.as_bytes().windows(2).position(|it| matches!(it, b"{{" | b"{%" | b"{#"))
}

/// Returns the length of the tag that `text` goes on with, which strings can hold the end of.
fn tag(text: &str, end: &str) -> usize {
    let mut quote = None;
    let mut is_escaped = false;
    for (idx, it) in text.char_indices() {
        match quote {
            _ if std::mem::take(&mut is_escaped) => {}
            Some(_) if it == '\\' => is_escaped = true,
            Some(open) if it == open => quote = None,
            Some(_) => {}
            None if matches!(it, '"' | '\'') => quote = Some(it),
            None if text[idx..].starts_with(end) => return idx,
            None => {}
        }
    }
    text.len()
}

/// Returns the most operators that belong to one value: those before a comma are done with, those around brackets are not.
fn longest_row(tag: &str) -> usize {
    let mut open = vec![0];
    let (mut longest, mut total) = (0, 0);
    let mut quote = None;
    let mut is_escaped = false;
    let mut word = String::new();
    for it in tag.chars().chain([' ']) {
        if let Some(closing) = quote {
            match it {
                _ if std::mem::take(&mut is_escaped) => {}
                '\\' => is_escaped = true,
                _ if it == closing => quote = None,
                _ => {}
            }
            continue;
        }
        if it.is_alphanumeric() || it == '_' {
            word.push(it);
            continue;
        }
        let mut more =
            usize::from(matches!(std::mem::take(&mut word).as_str(), "and" | "or" | "not" | "if" | "is" | "in"));
        match it {
            '"' | '\'' => quote = Some(it),
            '(' | '[' | '{' => open.push(0),
            ')' | ']' | '}' => {
                let done = if open.len() > 1 { open.pop().unwrap_or_default() } else { 0 };
                total -= done;
                more += 1;
            }
            ',' => total -= open.last_mut().map(std::mem::take).unwrap_or_default(),
            '|' | '.' | '+' | '-' | '*' | '/' | '%' | '~' | '<' | '>' | '=' | '!' => more += 1,
            _ => {}
        }
        if let Some(last) = open.last_mut() {
            *last += more;
        }
        total += more;
        longest = longest.max(total);
    }
    longest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn f09_rows_are_counted_by_value() {
        assert_eq!(longest_row(" a.b | upper ~ 'x.y.z|' "), 3);
        assert_eq!(longest_row(" [a.b, a.b, a.b] "), 1);
        assert_eq!(longest_row(" [a.b, a.b, (a.b + 1)] + 1 "), 2);
        assert_eq!(longest_row(" x if a and not b else c "), 3);
        assert_eq!(longest_row(" f(a)(b)(c) "), 3);
        let list = format!("[{}]", "'a.b', 1.5, x | upper, ".repeat(1000));
        assert!(longest_row(&list) < 5);
        assert_eq!(problem(&format!("{{% set a = {list} %}}\n{{{{ a }}}}")), None);
    }

    #[test]
    fn f09_only_tags_are_looked_at() {
        let row = "a + ".repeat(400);
        assert_eq!(problem(&row), None);
        assert_eq!(problem(&format!("\n{{{{ {row} }}}}")).map(|it| it.0), Some(2));
        assert_eq!(problem(&format!("{{# {row} #}}{{{{ '{row}' }}}}{{% raw %}}{{{{ {row} }}}}{{% endraw %}}")), None);
        let elif = "{% elif a %}".repeat(301);
        assert_eq!(problem(&format!("\n\n{{% if a %}}{elif}{{% endif %}}")).map(|it| it.0), Some(3));
        let small = "{% if a %}{% elif b %}{% elif c %}{% endif %}";
        assert_eq!(problem(&small.repeat(500)), None);
    }
}
