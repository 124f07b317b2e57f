//! From byte spans to line, column and key; from serde's messages to ours.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::{Diagnostic, Problem, did_you_mean};

/// Finds places in one configuration text.
pub(super) struct Locator<'a> {
    file: &'a str,
    text: &'a str,
    root: Spanned<DeTable<'a>>,
}

impl<'a> Locator<'a> {
    /// Of a text that is not TOML, what can be recovered gives keys.
    pub(super) fn new(file: &'a str, text: &'a str) -> Self {
        Locator { file, text, root: DeTable::parse_recoverable(text).0 }
    }

    pub(super) fn place(&self, problem: Problem) -> Diagnostic {
        let (line, column) = self.line_and_column(problem.span.start);
        let mut key = self.key_at(&problem.span);
        if let Some(missing) = problem.missing {
            if !key.is_empty() {
                key.push('.');
            }
            key.push_str(missing);
        }
        Diagnostic { file: self.file.to_owned(), line, column, key, message: problem.message }
    }

    pub(super) fn line_and_column(&self, offset: usize) -> (usize, usize) {
        let before = self.text.get(..offset).unwrap_or(self.text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
    }

    /// The path whose key or value is the smallest that contains `span`. The span of a table is that of its header,
    /// so parents do not contain their children and the whole tree is searched.
    fn key_at(&self, span: &Range<usize>) -> String {
        if span.is_empty() {
            // The root, or a place between tokens.
            return String::new();
        }
        let mut best = Best { target: span, len: usize::MAX, path: String::new() };
        best.search_table("", self.root.get_ref());
        best.path
    }
}

struct Best<'a> {
    target: &'a Range<usize>,
    len: usize,
    path: String,
}

impl Best<'_> {
    fn search_table(&mut self, parent: &str, table: &DeTable<'_>) {
        for (key, value) in table {
            let dot = if parent.is_empty() { "" } else { "." };
            let path = format!("{parent}{dot}{}", key.get_ref());
            self.consider(&path, key.span());
            self.search_value(&path, value);
        }
    }

    fn search_value(&mut self, path: &str, value: &Spanned<DeValue<'_>>) {
        self.consider(path, value.span());
        match value.get_ref() {
            DeValue::Table(table) => self.search_table(path, table),
            DeValue::Array(elements) => {
                for (index, element) in elements.iter().enumerate() {
                    self.search_value(&format!("{path}[{index}]"), element);
                }
            }
            _ => {}
        }
    }

    fn consider(&mut self, path: &str, span: Range<usize>) {
        let contains = span.start <= self.target.start && self.target.end <= span.end && !span.is_empty();
        if contains && span.len() <= self.len {
            self.len = span.len();
            self.path = path.to_owned();
        }
    }
}

/// A text that is not TOML, or not of the shape of a configuration.
pub(super) fn shape_error(file: &str, text: &str, error: &toml::de::Error) -> Diagnostic {
    let message = error.message();
    let mut names = message.split('`').skip(1).step_by(2);
    let first = names.next().unwrap_or_default();
    let known: Vec<&str> = names.collect();
    let list = || known.join(", ");
    let (missing, message) = if message.starts_with("unknown field") {
        let hint = did_you_mean(first, known.iter().copied(), || format!("; known here: {}", list()));
        (None, format!("no such key{hint}"))
    } else if message.starts_with("unknown variant") {
        let hint = did_you_mean(first, known.iter().copied(), || format!("; possible: {}", list()));
        (None, format!("\"{first}\" is not possible here{hint}"))
    } else if message.starts_with("missing field") {
        (Some(first), "is missing; there is no default".to_owned())
    } else {
        (None, message.lines().next().unwrap_or_default().replace('`', "\""))
    };
    let locator = Locator::new(file, text);
    let mut diagnostic =
        locator.place(Problem { span: error.span().unwrap_or(0..0), missing: None, message });
    if DeTable::parse(text).is_err() && message_names_no_key(error) {
        diagnostic.key.clear();
    } else if let Some(missing) = missing {
        diagnostic.key = format!("{}.{missing}", diagnostic.key).trim_start_matches('.').to_owned();
    }
    diagnostic
}

/// What is recovered around a syntax error may name a key that has nothing to do with it; a duplicate key is there.
fn message_names_no_key(error: &toml::de::Error) -> bool {
    error.message() != "duplicate key"
}
