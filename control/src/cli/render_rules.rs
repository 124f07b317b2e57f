//! How rules, and what a reload has done, look to a person.

use super::table::Table;
use super::units::{count, of};
use crate::api::types::{ReloadInfo, RuleInfo};

/// `quadrille rules`: one line each, in order.
pub(super) fn rules(rules: &[RuleInfo]) -> String {
    let mut table = Table::new([">#", "RULE", "ACTION", ">SYNS", "MATCH"]);
    for (index, rule) in rules.iter().enumerate() {
        let action = match (&rule.module, &rule.by) {
            (Some(module), _) => format!("{} to {module}", rule.action),
            (None, Some(rejection)) if rule.action == "reject" => format!("reject with {rejection}"),
            (None, Some(hop)) => format!("{} by {hop}", rule.action),
            (None, None) => rule.action.clone(),
        };
        table.row([index.to_string(), rule.name.clone(), action, count(rule.hits), rule.matches.clone()]);
    }
    table.lines(0)
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
            by: None,
            matches: matches.into(),
            hits,
        };
        let list = [
            rule("web", "offer", Some("relay"), "destination port 443", 12_345),
            RuleInfo {
                by: Some("02:00:00:00:00:19, vlan 20".into()),
                ..rule("mail", "forward", None, "destination port 25", 7)
            },
            RuleInfo { by: Some("admin".into()), ..rule("ssh", "reject", None, "destination port 22", 8) },
            rule("(default)", "pass", None, "everything else", 0),
        ];
        let expected = "\
#  RULE       ACTION                                   SYNS  MATCH
0  web        offer to relay                         12,345  destination port 443
1  mail       forward by 02:00:00:00:00:19, vlan 20       7  destination port 25
2  ssh        reject with admin                           8  destination port 22
3  (default)  pass                                        0  everything else
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
