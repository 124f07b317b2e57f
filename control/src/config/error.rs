//! What is wrong with a configuration: collected by byte span, reported by line and key.

use std::fmt;
use std::ops::Range;
use std::path::PathBuf;

/// Why there is no configuration. All of these end with exit code 2.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{}: {source}; {}", path.display(), remedy(source))]
    Unreadable {
        /// As the user named it.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The file is too long to be a configuration.
    #[error("{}: longer than {} bytes; is this a configuration?", path.display(), super::MAX_FILE)]
    TooLong {
        /// As the user named it.
        path: PathBuf,
    },
    /// The file is not UTF-8.
    #[error("{}:{line}: not a text (UTF-8); is this a configuration?", path.display())]
    NotText {
        /// As the user named it.
        path: PathBuf,
        /// Of the first byte that does not belong, from 1.
        line: usize,
    },
    /// The text has errors; at least one, in the order of the file.
    #[error("{}", lines(.0))]
    Invalid(Vec<Diagnostic>),
}

fn remedy(source: &std::io::Error) -> &'static str {
    match source.kind() {
        std::io::ErrorKind::PermissionDenied => "run as root, or as a user who may read it",
        _ => "name a configuration with --config (configs/ holds examples)",
    }
}

fn lines(diagnostics: &[Diagnostic]) -> String {
    diagnostics.iter().map(Diagnostic::to_string).collect::<Vec<_>>().join("\n")
}

/// One error or warning, at its place: `quadrille.toml:12:8: port[1].peer: …`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// The file as the user named it.
    pub file: String,
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    /// Path of the key, tables joined by dots, array elements counted from 0; empty for a text that is not TOML.
    pub key: String,
    /// What is wrong and what to do.
    pub message: String,
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: ", self.file, self.line, self.column)?;
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.message)
    }
}

/// A problem before its span has been turned into line and key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Problem {
    /// Bytes of the text that are at fault: a value, or the header of a table.
    pub(super) span: Range<usize>,
    /// A key inside the table at `span` that is missing.
    pub(super) missing: Option<&'static str>,
    pub(super) message: String,
}

/// Collects problems, so that a user sees all of them at once.
#[derive(Debug, Default)]
pub(super) struct Problems(Vec<Problem>);

impl Problems {
    /// The value at `span` is impossible.
    pub(super) fn at(&mut self, span: Range<usize>, message: impl Into<String>) {
        self.0.push(Problem { span, missing: None, message: message.into() });
    }

    /// The table at `span` lacks `key`.
    pub(super) fn missing(&mut self, span: Range<usize>, key: &'static str, message: impl Into<String>) {
        self.0.push(Problem { span, missing: Some(key), message: message.into() });
    }

    /// In the order of the file.
    pub(super) fn into_errors(mut self) -> Vec<Problem> {
        self.0.sort_by_key(|problem| problem.span.start);
        self.0
    }
}

/// The candidate that was probably meant: about a third of the letters may differ.
pub(super) fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(word, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= candidate.chars().count().div_ceil(3))
        .min()
        .map(|(_, candidate)| candidate)
}

/// `; did you mean "server"?` when a candidate is near, otherwise `otherwise`.
pub(super) fn did_you_mean<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
    otherwise: impl FnOnce() -> String,
) -> String {
    match nearest(word, candidates) {
        Some(candidate) => format!("; did you mean \"{candidate}\"?"),
        None => otherwise(),
    }
}
