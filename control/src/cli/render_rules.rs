//! How rules, and what a reload has done, look to a person.

use std::time::Duration;

use super::table::Table;
use super::units::{bytes, count, of};
use crate::api::types::{ReloadInfo, RuleInfo, RuleSplit};

/// `quadrille rules`: one line each, in order.
pub(super) fn rules(rules: &[RuleInfo]) -> String {
    let mut table = Table::new([">#", "RULE", "ACTION", "FLOWS", ">SYNS", "MATCH"]);
    for (index, rule) in rules.iter().enumerate() {
        let action = match (&rule.module, &rule.by) {
            (Some(module), _) if rule.action == "monitor" => format!("monitor for {module}"),
            (Some(module), _) => format!("{} to {module}", rule.action),
            (None, Some(rejection)) if rule.action == "reject" => format!("reject with {rejection}"),
            (None, Some(hop)) => format!("{} by {hop}", rule.action),
            (None, None) => rule.action.clone(),
        };
        let flows = flows(rule.inspect.as_deref(), rule.split, rule.idle_ms);
        table.row([
            index.to_string(),
            rule.name.clone(),
            action,
            flows,
            count(rule.hits),
            rule.matches.clone(),
        ]);
    }
    table.lines(0)
}

/// What a rule goes on asking of its flows: `searched by web, split after 1.0 MiB or 10s, idle up to 5m`; `-` for nothing.
pub(super) fn flows(inspect: Option<&str>, split: Option<RuleSplit>, idle_ms: Option<u64>) -> String {
    let time = |millis| humantime::format_duration(Duration::from_millis(millis)).to_string();
    let split = split.map(|split| {
        let whens = [split.after_bytes.map(bytes), split.after_ms.map(time)];
        format!("split after {}", whens.into_iter().flatten().collect::<Vec<_>>().join(" or "))
    });
    let inspect = inspect.map(|name| format!("searched by {name}"));
    let idle = idle_ms.map(|millis| format!("idle up to {}", time(millis)));
    let asked: Vec<String> = [inspect, split, idle].into_iter().flatten().collect();
    if asked.is_empty() { "-".to_owned() } else { asked.join(", ") }
}

/// `quadrille reload`.
pub(super) fn reload(reload: &ReloadInfo) -> String {
    match reload {
        ReloadInfo::Reloaded { rules, modules, needs_restart, warnings } => {
            let warnings: String = warnings.iter().map(|warning| format!("warning: {warning}\n")).collect();
            let left = match needs_restart.join(", ") {
                keys if keys.is_empty() => String::new(),
                keys => format!("left as at start, until a restart: {keys}\n"),
            };
            format!("{warnings}reloaded: {} and {}\n{left}", of(*rules, "rule"), of(*modules, "module"))
        }
        ReloadInfo::Invalid { problems } => format!("{problems}\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_one_line_each() {
        let rule = |name: &str, action: &str, module: Option<&str>, matches: &str, hits| RuleInfo {
            name: name.into(),
            action: action.into(),
            module: module.map(str::to_owned),
            matches: matches.into(),
            hits,
            ..RuleInfo::default()
        };
        let split = |after_bytes, after_ms| Some(RuleSplit { after_bytes, after_ms });
        let list = [
            RuleInfo {
                split: split(Some(1 << 20), Some(90_500)),
                ..rule("web", "offer", Some("relay"), "port 443", 12_345)
            },
            RuleInfo {
                inspect: Some("words".into()),
                split: split(None, Some(1)),
                idle_ms: Some(7_440_000),
                ..rule("sql", "monitor", Some("relay"), "port 5432", 1)
            },
            RuleInfo {
                by: Some("02:00:00:00:00:19, vlan 20".into()),
                ..rule("mail", "forward", None, "port 25", 7)
            },
            RuleInfo { by: Some("admin".into()), ..rule("ssh", "reject", None, "port 22", 8) },
            rule("(default)", "pass", None, "all else", 0),
        ];
        let expected = "\
#  RULE       ACTION                                 FLOWS                                                   SYNS  MATCH
0  web        offer to relay                         split after 1.0 MiB or 1m 30s 500ms                   12,345  port 443
1  sql        monitor for relay                      searched by words, split after 1ms, idle up to 2h 4m       1  port 5432
2  mail       forward by 02:00:00:00:00:19, vlan 20  -                                                          7  port 25
3  ssh        reject with admin                      -                                                          8  port 22
4  (default)  pass                                   -                                                          0  all else
";
        assert_eq!(rules(&list), expected);
    }

    #[test]
    fn a_reload_names_what_it_has_left_alone() {
        let reloaded = |keys: &[&str]| ReloadInfo::Reloaded {
            rules: 2,
            modules: 1,
            needs_restart: keys.iter().map(|key| (*key).to_owned()).collect(),
            warnings: vec!["q.toml:3:1: rule[1]: never reached".into()],
        };
        let expected = "warning: q.toml:3:1: rule[1]: never reached\nreloaded: 2 rules and 1 module\n";
        assert_eq!(reload(&reloaded(&[])), expected);
        let left = "left as at start, until a restart: port, limits.flows\n";
        assert_eq!(reload(&reloaded(&["port", "limits.flows"])), expected.to_owned() + left);
    }
}
