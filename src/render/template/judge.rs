//! Whether what a template printed of a value breaks out of its place (see [`super::super::inject`]).

use super::super::inject::{Breach, Context, Mode, Why, judge, why_not_a_document};
use super::{Engine, Tank};
use crate::finding::{Code, Finding};
use crate::place::Place;

/// The most values of one output that are told.
const SHOWN_MAX: usize = 5;

impl Engine<'_> {
    /// Returns what is wrong with the output `text` of the template `path`, made by the render before.
    ///
    /// The renders that this needs are taken from the fuel of all templates, too.
    pub(super) fn breaches(
        &self,
        path: &str,
        source: &str,
        context: Context,
        text: &str,
        tank: &mut Tank,
    ) -> Vec<Finding> {
        let Some((char, from)) = self.watch.first() else { return Vec::new() };
        let mut judged = |mode| self.judged(path, source, context, text, mode, tank);
        let followed = judged(Mode::Taken).or_else(|| judged(Mode::Printed));
        let breaches = followed.unwrap_or_else(|| vec![Breach { char, from, why: Why::Lost }]);
        breaches.iter().take(SHOWN_MAX).map(|it| self.told(path, source, context, it)).collect()
    }

    /// Returns what is wrong, by a render with stand-ins; `None` when they changed what the template does.
    fn judged(
        &self,
        path: &str,
        source: &str,
        context: Context,
        text: &str,
        mode: Mode,
        tank: &mut Tank,
    ) -> Option<Vec<Breach>> {
        self.watch.again(mode);
        let scope = match mode {
            Mode::Taken => self.scope.context_of(&|text| self.watch.taken(text)),
            _ => self.scope.context(),
        };
        let result = self.attempt(path, source, scope, self.limits.fuel);
        // A name with stand-ins in it is no include that was ever asked for.
        self.library().wanted.clear();
        let spent = result.as_ref().map_or(self.limits.fuel, |(_, spent)| *spent);
        tank.0 = tank.0.saturating_sub(spent);
        let (bytes, _) = result.ok()?;
        let glyphs = self.watch.read(std::str::from_utf8(&bytes).ok()?);
        let is_same = glyphs.iter().map(|it| it.char).eq(text.chars());
        is_same.then(|| judge(context, &glyphs))
    }

    fn told(&self, path: &str, source: &str, context: Context, breach: &Breach) -> Finding {
        self.watch.again(Mode::Stop(breach.from));
        let stopped = self.attempt(path, source, self.scope.context(), self.limits.fuel).err();
        let place = stopped.and_then(|it| it.place).unwrap_or_else(|| Place::whole(path));
        let message = breach.message(context, self.scope.trace.secret());
        Finding::error(Code::INJECT, message).at(&place).hint(context.hint(matches!(breach.char, '\n' | '\r')))
    }

    /// Returns the warning about an output that is not what its name says.
    pub(super) fn misnamed(&self, path: &str, context: Context, text: &str) -> Option<Finding> {
        let (line, why) = why_not_a_document(context, text)?;
        let secret = self.scope.trace.secret();
        let why = if secret { "(details left out, a secret is in use)" } else { &why };
        let message = format!("what comes of this template is not {}: line {line} of it: {why}", context.words());
        Some(Finding::warning(Code::FORMAT, message).at(&Place::whole(path)))
    }
}
