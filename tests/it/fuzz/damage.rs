//! Texts that are damaged by chance, but each time alike.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

/// How long one input may take; far beyond what any takes on a busy machine.
const LIMIT: Duration = Duration::from_secs(30);

/// Pieces that mean something to some parser.
const PIECES: [&[u8]; 96] = [
    b"\n",
    b"\r\n",
    b"\r",
    b"\t",
    b" ",
    b"  ",
    b"",
    b"\0",
    b"\x1b",
    b"\x7f",
    b"\xff",
    b"\xc3",
    b"\xed\xa0\x80",
    "\u{feff}".as_bytes(),
    "\u{85}".as_bytes(),
    "\u{2028}".as_bytes(),
    "\u{202e}".as_bytes(),
    "é".as_bytes(),
    "😀".as_bytes(),
    b"#",
    b" #",
    b"# c\n",
    b"//",
    b"/*",
    b"*/",
    b";",
    b",",
    b":",
    b": ",
    b"=",
    b" = ",
    b"- ",
    b"? ",
    b"{",
    b"}",
    b"[",
    b"]",
    b"[[",
    b"]]",
    b"(",
    b")",
    b"\"",
    b"'",
    b"\"\"\"",
    b"'''",
    b"\\",
    b"\\u",
    b"\\ud83d",
    b"\\x",
    b"&a ",
    b"*a",
    b"<<: *a\n",
    b"!!str ",
    b"!!binary ",
    b"!a ",
    b"|\n",
    b"|+9\n",
    b">-\n",
    b"---\n",
    b"...\n",
    b"%YAML 1.1\n",
    b"~",
    b"null",
    b"true",
    b"yes",
    b"0",
    b"-1",
    b"0644",
    b"1e999",
    b"1_0",
    b"9223372036854775808",
    b"-9223372036854775809",
    b"18446744073709551616",
    b"0.1000000000000000055",
    b".inf",
    b"2001-01-01T00:00:00Z",
    b"..",
    b"../",
    b"/",
    b"**",
    b"{{",
    b"}}",
    b"{%",
    b"%}",
    b"{{ x }}",
    b"{% for a in range(9) %}",
    b"{% include 'a' %}",
    b"${",
    b"${A:-${B}}",
    b"$ref",
    b"#/",
    b"(a+)+$",
    b"ENC[AES256_GCM,",
    b"some ",
    b"not ",
    b"1h30m",
];

/// A generator of numbers: the same seed gives the same ones.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Dice {
        Dice(seed)
    }

    /// SplitMix64.
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut it = self.0;
        it = (it ^ (it >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        it = (it ^ (it >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        it ^ (it >> 31)
    }

    /// Returns a number below `n`, or zero.
    pub fn below(&mut self, n: usize) -> usize {
        let n = u64::try_from(n.max(1)).expect("64 bits");
        usize::try_from(self.next() % n).expect("is below n")
    }

    pub fn pick<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }

    fn range(&mut self, len: usize, most: usize) -> std::ops::Range<usize> {
        let start = self.below(len + 1);
        start..(start + self.below(most)).min(len)
    }

    /// Returns a text with a few changes; `others` may lend it their pieces.
    pub fn damaged(&mut self, text: &[u8], others: &[&[u8]]) -> Vec<u8> {
        let mut text = text.to_vec();
        for _ in 0..=self.below(4) {
            let range = self.range(text.len(), 12);
            match self.below(10) {
                0 => drop(text.drain(range)),
                1 => drop(text.splice(range, self.pick(&PIECES).to_vec())),
                2 | 3 => drop(text.splice(range.start..range.start, self.pick(&PIECES).to_vec())),
                4 => text.iter_mut().skip(range.start).take(1).for_each(|it| *it ^= 1 << self.below(8)),
                5 => text.truncate(text.len() - self.below(text.len() / 4)),
                6 => {
                    let piece = text[range.clone()].repeat(1 + self.below(4));
                    drop(text.splice(range, piece));
                }
                7 => {
                    let other = *self.pick(others);
                    let piece = other[self.range(other.len(), 60)].to_vec();
                    drop(text.splice(range, piece));
                }
                8 => self.exchange_lines(&mut text),
                _ => {
                    // A run without end is what limits are for.
                    let piece = self.pick(&PIECES).repeat(1 << self.below(11));
                    drop(text.splice(range, piece));
                }
            }
        }
        text
    }

    fn exchange_lines(&mut self, text: &mut Vec<u8>) {
        let mut lines: Vec<&[u8]> = text.split_inclusive(|it| *it == b'\n').collect();
        let (a, b) = (self.below(lines.len()), self.below(lines.len()));
        if a < lines.len() && b < lines.len() {
            lines.swap(a, b);
        }
        *text = lines.concat();
    }
}

/// Returns a number from the environment.
#[expect(clippy::disallowed_methods)] // Nothing but a test that someone starts by hand is told how long to run.
pub fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Returns a number that nobody knows.
pub fn random() -> u64 {
    let mut bytes = [0; 8];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty()).expect("linux 3.17");
    u64::from_le_bytes(bytes)
}

/// Hands damaged texts of a corpus on, `n` of them, and fails with those that make the program panic or hang.
///
/// The seed is always the same, so that a run is like the one before; with `HEADFAST_FUZZ=N` there are N times as many
/// texts, of a seed that a failure names and `HEADFAST_SEED` repeats.
#[track_caller]
pub fn attack<T>(n: u64, corpus: &[(T, Vec<u8>)], each: impl Fn(&T, &[u8], &mut Dice) -> Result<(), String>) {
    let more = setting("HEADFAST_FUZZ");
    let seed = setting("HEADFAST_SEED").unwrap_or_else(|| if more.is_some() { random() } else { 16 });
    let texts: Vec<&[u8]> = corpus.iter().map(|(_, text)| text.as_slice()).collect();
    let mut dice = Dice::new(seed);
    let mut failures = Vec::new();
    for round in 0..n * more.unwrap_or(1) {
        let (about, text) = dice.pick(corpus);
        let damaged = dice.damaged(text, &texts);
        let started = Instant::now();
        let outcome = catch_unwind(AssertUnwindSafe(|| each(about, &damaged, &mut dice)));
        let problem = match outcome {
            Ok(Ok(())) if started.elapsed() < LIMIT => continue,
            Ok(Ok(())) => format!("took {:?}", started.elapsed()),
            Ok(Err(problem)) => problem,
            Err(_) => "panics".to_owned(),
        };
        let shown = String::from_utf8_lossy(&damaged).escape_debug().to_string();
        failures.push(format!("round {round}: {problem}\n  {shown}"));
        if failures.len() == 5 {
            break;
        }
    }
    assert!(failures.is_empty(), "{}\nHEADFAST_SEED={seed} repeats this", failures.join("\n"));
}
