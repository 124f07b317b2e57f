//! `with` of a rule that rejects: a name, or the type and code of each family's error.

use std::fmt;

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, Deserializer, MapAccess, Visitor};
use toml::Spanned;

#[derive(Debug)]
pub(in crate::config) enum With {
    Name(String),
    Codes(Codes),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Codes {
    pub(in crate::config) icmp: Option<Spanned<Vec<i64>>>,
    pub(in crate::config) icmpv6: Option<Spanned<Vec<i64>>>,
}

struct WithVisitor;

impl<'de> Visitor<'de> for WithVisitor {
    type Value = With;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name, or a table such as { icmp = [3, 13], icmpv6 = [1, 1] }")
    }

    fn visit_str<E: de::Error>(self, name: &str) -> Result<With, E> {
        Ok(With::Name(name.to_owned()))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<With, A::Error> {
        Codes::deserialize(MapAccessDeserializer::new(map)).map(With::Codes)
    }
}

impl<'de> Deserialize<'de> for With {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(WithVisitor)
    }
}
