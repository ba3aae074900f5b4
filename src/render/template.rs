//! Templates: minijinja, strict, within limits, reading only the repository.
//!
//! minijinja's loader is a `'static` closure and cannot hold a tree, so includes are found in rounds: a render that asks for
//! an unknown name fails, the name is read from the tree, and the render starts again. A render has no effects, so this is
//! safe; names that are written out in the source are read ahead, so that it is rare.

mod judge;
mod recursion;

use super::inject::{Context, Watch};
use super::scope::Scope;
use super::{Digest, Limits, Uses, depth, filters};
use crate::finding::{Code, Finding, Findings};
use crate::place::Place;
use crate::revision::{EntryKind, Tree};
use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment, Error, ErrorKind, UndefinedBehavior, Value};
use regex::Regex;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

/// The most templates that one output entry may include.
const INCLUDES_MAX: usize = 1000;
/// How deeply templates may call each other: minijinja counts 10 for an include, 5 for a macro and 1 for a block. Its own
/// limit is twice as much, for which a thread's 2 MiB of stack are just enough, or not.
const RECURSION_MAX: usize = 250;
/// The largest template in bytes.
const TEMPLATE_BYTES_MAX: u64 = 4 << 20;

/// What rendering one template gave.
pub(super) struct Output {
    /// The text.
    pub(super) bytes: Vec<u8>,
    /// The identity to use when it is sensitive; `None` when no secret was used.
    pub(super) secret: Option<Digest>,
}

impl Output {
    /// Returns the text; minijinja writes nothing else.
    fn text(&self) -> &str {
        std::str::from_utf8(&self.bytes).unwrap_or_default()
    }
}

/// The templates of one output entry.
pub(super) struct Engine<'a> {
    tree: &'a dyn Tree,
    scope: Scope<'a>,
    /// The configuration's files: what else an output depends on.
    inputs: &'a [String],
    revision: &'a dyn Fn(&[String]) -> String,
    root: String,
    base: Environment<'static>,
    library: Arc<Mutex<Library>>,
    watch: Watch,
    limits: Limits,
}

/// The included templates that have been read so far, by the name that templates use.
#[derive(Default)]
struct Library {
    known: BTreeMap<String, Include>,
    /// Names that the current render asked for and that are not known yet.
    wanted: BTreeSet<String>,
    /// Names that the current render got.
    served: BTreeSet<String>,
}

enum Include {
    Found { path: String, text: Arc<str> },
    Absent,
    Refused(String),
}

/// The fuel that is left for all templates of a rendering.
pub(super) struct Tank(pub(super) u64);

impl<'a> Engine<'a> {
    /// Returns an engine for the templates under `root`, a folder of the repository.
    pub(super) fn new(
        tree: &'a dyn Tree,
        root: &str,
        scope: Scope<'a>,
        inputs: &'a [String],
        revision: &'a dyn Fn(&[String]) -> String,
        limits: Limits,
    ) -> Self {
        let library = Arc::new(Mutex::new(Library::default()));
        let watch = Watch::default();
        let base = environment(Arc::clone(&library), &watch);
        Engine { tree, scope, inputs, revision, root: root.to_owned(), base, library, watch, limits }
    }

    /// Renders the template `source`, the file `path` of the repository, to the file `output` of the host.
    pub(super) fn render(
        &self,
        path: &str,
        source: &[u8],
        output: &str,
        tank: &mut Tank,
        findings: &mut Findings,
    ) -> Option<Output> {
        if source.len() as u64 > TEMPLATE_BYTES_MAX {
            let message = format!("the template is larger than {} MiB", TEMPLATE_BYTES_MAX >> 20);
            findings.push(Finding::error(Code::TEMPLATE_PARSE, message).at(&Place::whole(path)));
            return None;
        }
        let Ok(source) = std::str::from_utf8(source) else {
            findings.push(Finding::error(Code::ENCODING, "the template is not UTF-8").at(&Place::whole(path)));
            return None;
        };
        let result = parsable(path, source).and_then(|()| self.render_as(path, source, output, tank));
        let (output, context) = result.map_err(|finding| findings.push(finding)).ok()?;
        let text = output.text();
        let breaches = self.breaches(path, source, context, text, tank);
        if breaches.is_empty() {
            findings.extend(self.misnamed(path, context, text).into_iter().collect());
            return Some(output);
        }
        findings.extend(breaches.into_iter().collect());
        None
    }

    /// Renders a template, and returns what kind of file came of it.
    fn render_as(&self, path: &str, source: &str, output: &str, tank: &mut Tank) -> Result<(Output, Context), Finding> {
        let expected = Context::of(output, source);
        let rendered = self.render_in_rounds(path, source, expected, tank)?;
        // A script's first line may come from another template, or after a tag.
        let context = Context::of(output, rendered.text());
        if context == expected {
            return Ok((rendered, context));
        }
        self.render_in_rounds(path, source, context, tank).map(|rendered| (rendered, context))
    }

    fn render_in_rounds(&self, path: &str, source: &str, context: Context, tank: &mut Tank) -> Result<Output, Finding> {
        self.scope.set_revision(None);
        let mut has_revision = false;
        self.read_ahead(source)?;
        loop {
            let fuel = self.limits.fuel.min(tank.0);
            self.scope.trace.reset();
            self.library().served.clear();
            self.watch.begin(context);
            let result = self.attempt(path, source, self.scope.context(), fuel);
            let wanted = std::mem::take(&mut self.library().wanted);
            let spent = match &result {
                Ok((_, spent)) => *spent,
                // A failed render does not say what it used; one that starts again is charged all that it might have.
                Err(failure) if failure.code == Code::RENDER_FUEL || !wanted.is_empty() => fuel,
                Err(_) => 0,
            };
            tank.0 = tank.0.saturating_sub(spent);
            if !wanted.is_empty() {
                wanted.iter().try_for_each(|name| self.learn(name).map(|_| ()))?;
                continue;
            }
            if self.scope.trace.used("revision") && !has_revision {
                self.scope.set_revision(Some(&(self.revision)(&self.inputs_of(path))));
                has_revision = true;
                continue;
            }
            let (bytes, _) = result?;
            let secret = self.scope.trace.secret().then(|| self.scope.identity(&self.sources(path, source)));
            return Ok(Output { bytes, secret });
        }
    }

    fn attempt(&self, path: &str, source: &str, scope: Value, fuel: u64) -> Result<(Vec<u8>, u64), Finding> {
        let mut env = self.base.clone();
        env.set_fuel(Some(fuel.saturating_mul(self.watch.width() as u64)));
        let mut out = Limited {
            bytes: Vec::new(),
            limit: self.limits.output_bytes.saturating_mul(self.watch.width()),
            exceeded: false,
        };
        let result = env
            .template_from_named_str(path, source)
            .and_then(|template| template.render_captured_to(scope, &mut out))
            .map(|captured| captured.state().fuel_levels().map_or(0, |(spent, _)| spent));
        match result {
            Ok(spent) => Ok((out.bytes, spent)),
            Err(error) if out.exceeded => Err(self.too_large(path, source, &error)),
            Err(error) => Err(self.failure(path, source, &error)),
        }
    }

    fn library(&self) -> MutexGuard<'_, Library> {
        self.library.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns what the last render, of the template `path`, used.
    pub(super) fn uses(&self, path: &str) -> Uses {
        let includes = self.includes().into_iter().filter(|it| it != path).collect();
        Uses { includes, ..self.scope.uses() }
    }

    /// Returns the paths of the templates that the last render included.
    fn includes(&self) -> BTreeSet<String> {
        let library = self.library();
        let includes = library.served.iter().filter_map(|name| match library.known.get(name) {
            Some(Include::Found { path, .. }) => Some(path.clone()),
            _ => None,
        });
        includes.collect()
    }

    /// Returns the files of the repository that the last render depends on.
    fn inputs_of(&self, path: &str) -> Vec<String> {
        let includes = self.includes().into_iter();
        let all: BTreeSet<String> = includes.chain([path.to_owned()]).chain(self.inputs.iter().cloned()).collect();
        all.into_iter().collect()
    }

    /// Returns the templates that the last render used, by name, the first one first.
    fn sources(&self, path: &str, source: &str) -> Vec<(String, Arc<str>)> {
        let library = self.library();
        let includes = library.served.iter().filter_map(|name| match library.known.get(name) {
            Some(Include::Found { text, .. }) => Some((name.clone(), Arc::clone(text))),
            _ => None,
        });
        std::iter::once((path.to_owned(), Arc::from(source))).chain(includes).collect()
    }

    /// Reads the includes that are written out in `source`, and theirs.
    fn read_ahead(&self, source: &str) -> Result<(), Finding> {
        let mut queue: Vec<String> = named_includes(source);
        while let Some(name) = queue.pop() {
            if let Some(text) = self.learn(&name)? {
                queue.extend(named_includes(&text));
            }
        }
        Ok(())
    }

    /// Finds the template `name` in the repository, unless that was done before; returns the text of a new one.
    fn learn(&self, name: &str) -> Result<Option<Arc<str>>, Finding> {
        if self.library().known.contains_key(name) {
            return Ok(None);
        }
        let include = self.read(name)?;
        let text = match &include {
            Include::Found { text, .. } => Some(Arc::clone(text)),
            _ => None,
        };
        let mut library = self.library();
        library.known.insert(name.to_owned(), include);
        if library.known.len() > INCLUDES_MAX {
            return Err(Finding::error(Code::INCLUDE, format!("more than {INCLUDES_MAX} templates are included"))
                .at(&Place::whole(&self.root)));
        }
        Ok(text)
    }

    fn read(&self, name: &str) -> Result<Include, Finding> {
        if name.starts_with('/') || name.contains('\0') || name.split('/').any(|it| matches!(it, "" | "." | "..")) {
            return Ok(Include::Refused("names another place than the repository's folders".into()));
        }
        for path in [super::join(&self.root, name), name.to_owned()] {
            let entry = self.tree.find(&path)?;
            let Some(entry) = entry else { continue };
            match entry.kind {
                EntryKind::File { .. } => {}
                EntryKind::Link => return Ok(Include::Refused("is a symbolic link".into())),
                EntryKind::Directory | EntryKind::Submodule => continue,
            }
            if self.tree.size(&entry.id)? > TEMPLATE_BYTES_MAX {
                return Ok(Include::Refused(format!("is larger than {} MiB", TEMPLATE_BYTES_MAX >> 20)));
            }
            let bytes = self.tree.blob(&entry.id)?;
            let Ok(text) = String::from_utf8(bytes) else { return Ok(Include::Refused("is not UTF-8".into())) };
            parsable(&path, &text)?;
            return Ok(Include::Found { path, text: Arc::from(text) });
        }
        Ok(Include::Absent)
    }

    fn too_large(&self, path: &str, source: &str, error: &Error) -> Finding {
        let message = format!("the output is larger than {} MiB", self.limits.output_bytes >> 20);
        Finding::error(Code::RENDER_SIZE, message).at(&self.place(path, source, error))
    }

    fn failure(&self, path: &str, source: &str, outer: &Error) -> Finding {
        let error = deepest(outer);
        let place = self.place(path, source, error);
        if error.kind() == ErrorKind::OutOfFuel {
            let hint = "look for a loop over too many values, or a text that grows without end";
            return Finding::error(Code::RENDER_FUEL, "the template runs for too long").at(&place).hint(hint);
        }
        if let Some(finding) = self.recursion(path, outer) {
            return finding.at(&place);
        }
        if error.kind() == ErrorKind::UndefinedError {
            return self.undefined(error, &place, path, source);
        }
        let detail = error.detail().unwrap_or_default();
        if let Some(refused) = detail.strip_prefix(REFUSED) {
            let hint = format!("includes are looked up in `{}`, then from the repository's root", self.root);
            let message = if self.scope.trace.secret() { "the included name is not accepted" } else { refused };
            return Finding::error(Code::INCLUDE, message).at(&place).hint(hint);
        }
        // minijinja's messages quote values, so none is passed on once the template has seen a secret.
        let message = match detail {
            _ if self.scope.trace.secret() => format!("{} (details left out, a secret is in use)", error.kind()),
            "" => error.kind().to_string(),
            detail => detail.to_owned(),
        };
        let finding = Finding::error(code(error), message).at(&place);
        match filters::hint(detail) {
            Some(hint) => finding.hint(hint),
            None if error.kind() == ErrorKind::TemplateNotFound => {
                finding.hint(format!("templates are looked up in `{}`, then from the repository's root", self.root))
            }
            None => finding,
        }
    }

    fn undefined(&self, error: &Error, place: &Place, path: &str, source: &str) -> Finding {
        // The detail comes from the template's own text: "`a.b` is undefined".
        let named = error.detail().and_then(|it| it.split('`').nth(1)).map(str::to_owned);
        let text = self.text_of(error, path, source);
        let expression = named.or_else(|| text.get(error.range()?).map(str::to_owned)).unwrap_or_default();
        let finding = Finding::error(Code::UNDEFINED, format!("`{expression}` is not defined")).at(place);
        match self.scope.suggestion(&expression) {
            Some(name) => finding.hint(format!("did you mean `{name}`?")),
            None => finding.hint("use `| default(\"…\")` when it may be absent"),
        }
    }

    /// Returns the text of the template that `error` is about.
    fn text_of(&self, error: &Error, path: &str, source: &str) -> Arc<str> {
        let library = self.library();
        match error.name().filter(|it| *it != path).and_then(|it| library.known.get(it)) {
            Some(Include::Found { text, .. }) => Arc::clone(text),
            _ => Arc::from(source),
        }
    }

    fn place(&self, path: &str, source: &str, error: &Error) -> Place {
        let error = deepest(error);
        let text = self.text_of(error, path, source);
        let library = self.library();
        let file = match error.name().filter(|it| *it != path).and_then(|it| library.known.get(it)) {
            Some(Include::Found { path, .. }) => path.as_str(),
            _ => path,
        };
        let line = error.line().and_then(|it| u32::try_from(it).ok()).unwrap_or_default();
        Place { file: Arc::from(file), line, column: column(&text, line, error) }
    }
}

/// Fails for a template that nests too deeply to be parsed.
fn parsable(path: &str, source: &str) -> Result<(), Finding> {
    let Some((line, message)) = depth::problem(source) else { return Ok(()) };
    let line = u32::try_from(line).unwrap_or_default();
    let place = Place { file: Arc::from(path), line, column: 0 };
    Err(Finding::error(Code::TEMPLATE_PARSE, message).at(&place).hint("split it, with `{% set %}`"))
}

fn code(error: &Error) -> Code {
    match error.kind() {
        ErrorKind::SyntaxError | ErrorKind::BadEscape => Code::TEMPLATE_PARSE,
        _ if error.detail() == Some("range has too many elements") => Code::RENDER_FUEL,
        _ => Code::TEMPLATE,
    }
}

/// Marks the message of an error that our own loader made.
const REFUSED: &str = "refused include: ";

fn environment(library: Arc<Mutex<Library>>, watch: &Watch) -> Environment<'static> {
    let mut env = Environment::new();
    env.set_undefined_behavior(UndefinedBehavior::Strict);
    env.set_recursion_limit(RECURSION_MAX);
    // Gives undefined values a name in error messages.
    env.set_debug(true);
    if let Ok(syntax) = SyntaxConfig::builder().keep_trailing_newline(true).build() {
        env.set_syntax(syntax);
    }
    env.set_loader(move |name| {
        let mut library = library.lock().unwrap_or_else(PoisonError::into_inner);
        library.served.insert(name.to_owned());
        match library.known.get(name) {
            Some(Include::Found { text, .. }) => Ok(Some(text.to_string())),
            Some(Include::Absent) => Ok(None),
            Some(Include::Refused(why)) => {
                let name = super::path::shown(name.as_bytes());
                Err(Error::new(ErrorKind::BadInclude, format!("{REFUSED}`{name}` {why}")))
            }
            None => {
                library.wanted.insert(name.to_owned());
                Ok(None)
            }
        }
    });
    filters::install(&mut env, watch);
    env
}

/// Returns the names of templates that are written out in a template's tags.
fn named_includes(source: &str) -> Vec<String> {
    static TAG: LazyLock<Option<Regex>> = LazyLock::new(|| {
        Regex::new(r#"\{%[-+]?\s*(?:include|extends|import|from)\s+(?:"([^"\\]+)"|'([^'\\]+)')"#).ok()
    });
    let Some(tag) = TAG.as_ref() else { return Vec::new() };
    tag.captures_iter(source).filter_map(|it| it.get(1).or(it.get(2))).map(|it| it.as_str().to_owned()).collect()
}

/// Returns the error inside an include, where minijinja wraps it in one about the include.
fn deepest(error: &Error) -> &Error {
    let mut found = error;
    let mut next = std::error::Error::source(error);
    while let Some(source) = next {
        if let Some(inner) = source.downcast_ref::<Error>() {
            found = inner;
        }
        next = source.source();
    }
    found
}

/// Returns the column at which `error` starts, when that is on `line`; 0 when it is not known.
fn column(text: &str, line: u32, error: &Error) -> u32 {
    let Some(before) = error.range().and_then(|it| text.get(..it.start)) else { return 0 };
    let n_lines = before.matches('\n').count() + 1;
    if n_lines != line as usize {
        return 0;
    }
    let start = before.rsplit('\n').next().unwrap_or_default();
    u32::try_from(start.chars().count() + 1).unwrap_or_default()
}

/// A writer that stops a render when its output grows too large.
struct Limited {
    bytes: Vec<u8>,
    limit: usize,
    exceeded: bool,
}

impl io::Write for Limited {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + bytes.len() > self.limit {
            self.exceeded = true;
            return Err(io::Error::other("the output is too large"));
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
