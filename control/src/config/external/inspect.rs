//! `[inspect.NAME]`, as serde reads it.

use serde::Deserialize;
use toml::Spanned;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Inspect {
    #[serde(default)]
    pub(in crate::config) patterns: Vec<Spanned<Pattern>>,
    #[serde(default)]
    pub(in crate::config) window: bool,
    #[serde(default)]
    pub(in crate::config) ignore_case: bool,
    #[serde(default)]
    pub(in crate::config) ahead: Ahead,
    #[serde(default)]
    pub(in crate::config) when_full: super::PassOrDrop<false>,
    pub(in crate::config) hold: super::WithUnit,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Pattern {
    pub(in crate::config) name: Option<Spanned<String>>,
    pub(in crate::config) text: Option<Spanned<String>>,
    pub(in crate::config) hex: Option<Spanned<String>>,
    pub(in crate::config) replace: Option<Spanned<String>>,
    pub(in crate::config) replace_hex: Option<Spanned<String>>,
    #[serde(default)]
    pub(in crate::config) from: From,
    pub(in crate::config) verdict: Spanned<Verdict>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(in crate::config) enum From {
    #[default]
    Both,
    Client,
    Server,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(in crate::config) enum Verdict {
    /// As it was called while such a pattern was counted and nothing else.
    #[serde(alias = "count")]
    Event,
    Edit,
    Split,
    Drop,
    Reset,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(in crate::config) enum Ahead {
    #[default]
    Drop,
    Pass,
}
