//! What `quadrille check` shows: everything that a configuration comes to.

use std::fmt::Display;
use std::path::Path;

use super::render_rules;
use super::table::Table;
use super::units::{bytes, count, of};
use crate::api::types::{RuleSplit, millis};
use crate::config::validated::{Acknowledge, Action, Config, Idle, Merge, Port, Role};
use crate::module::several::Complete;
use dataplane::flow::far::NextHop;
use dataplane::port::impaired::Share;

/// The whole report.
pub(super) fn check(path: &Path, config: &Config) -> String {
    let warnings: String = config.warnings.iter().map(|warning| format!("warning: {warning}\n")).collect();
    format!(
        "{} is valid\n{warnings}\nsocket   {}\n{}{}\nports\n{}\nmemory\n{}\n{}",
        path.display(),
        config.socket.display(),
        cores(config),
        rings(config),
        ports(config),
        memory(config),
        rules(config)
    )
}

fn join<T: Display>(items: impl IntoIterator<Item = T>) -> String {
    items.into_iter().map(|item| item.to_string()).collect::<Vec<_>>().join(", ")
}

fn cores(config: &Config) -> String {
    let idle = match config.cores.idle {
        Idle::Spin => "spin".to_owned(),
        Idle::Yield => "yield".to_owned(),
        Idle::Sleep { ceiling } => format!("sleep up to {}", humantime::format_duration(ceiling)),
    };
    format!(
        "cores    control {}, workers {}, idle: {idle}\n",
        config.cores.control,
        join(&config.cores.workers)
    )
}

fn rings(config: &Config) -> String {
    let limits = &config.limits;
    format!(
        "rings    {} a port with {} receive and {} transmit descriptors each; {} messages each way between a \
         worker and the control core\n",
        of(config.cores.workers.len(), "queue"),
        limits.receive_ring,
        limits.transmit_ring,
        limits.mailbox
    )
}

fn ports(config: &Config) -> String {
    let mut table = Table::new([">ID", "NAME", "PEER", ">PAIR", ">MTU", "DEVICE"]);
    for (index, port) in config.ports.iter().enumerate() {
        let mtu = config.pairs.get(usize::from(port.pair)).and_then(|pair| pair.mtu);
        table.row([
            index.to_string(),
            port.name.clone(),
            config.ports[port.peer].name.clone(),
            port.pair.to_string(),
            mtu.map_or("device".to_owned(), |mtu| mtu.to_string()),
            port.device.as_str().to_owned(),
        ]);
    }
    let cables: String = config.ports.iter().filter_map(impaired).collect();
    table.lines(2) + &cables
}

/// What a port's cable does, when it does anything.
fn impaired(port: &Port) -> Option<String> {
    let cable = port.impairment?;
    let share = |share: Share| format!("{}%", f64::from(share.parts_per_million()) / 10_000.0);
    let time = |time| humantime::format_duration(time).to_string();
    let some = |said: bool, what: &str, how: String| said.then(|| format!("{what} {how}"));
    let parts = [
        some(cable.loss > Share::default(), "loss", share(cable.loss)),
        some(!cable.delay.is_zero(), "delay", time(cable.delay)),
        some(!cable.jitter.is_zero(), "jitter", time(cable.jitter)),
        some(
            cable.reorder > Share::default(),
            "reorder",
            format!("{} by {}", share(cable.reorder), time(cable.reorder_by)),
        ),
        some(cable.duplicate > Share::default(), "duplicate", share(cable.duplicate)),
        cable.rate.map(|rate| format!("rate {} kbit/s", count(rate / 1000))),
    ];
    let (frames, seed) = (count(cable.queue as u64), cable.seed);
    let parts = join(parts.into_iter().flatten());
    Some(format!("  {} impaired each way: {parts}; {frames} frames at once, seed {seed}\n", port.name))
}

fn memory(config: &Config) -> String {
    let (need, limits, memory) = (config.memory_need(), &config.limits, &config.memory);
    let workers = of(config.cores.workers.len(), "worker");
    let pages = if memory.hugepages { "huge pages" } else { "ordinary pages" };
    let mut table = Table::new(["FOR", ">BYTES", "MADE UP OF"]);
    let mut row = |what: &str, size: u64, parts: String| table.row([what.to_owned(), bytes(size), parts]);
    let pool = format!(
        "{} buffers of {} bytes take {}",
        count(memory.buffers.into()),
        memory.data_room,
        bytes(need.buffers)
    );
    row("DPDK", need.dpdk, format!("{pages}; {pool}"));
    row("flows", need.flows, format!("{} for each of {workers}", count(limits.flows.into())));
    row("far sides", need.far_sides, format!("{} for each of {workers}", count(limits.far_sides.into())));
    let searched =
        format!("{} flows that are searched for each of {workers}", count(limits.inspected.into()));
    row("inspection", need.inspection, searched);
    let held = format!("{} for each of {workers} and the control core", count(limits.held_packets.into()));
    row("held", need.held, held);
    row("rules", need.rules, format!("{}, and those that a reload brings", count(config.rules.len() as u64)));
    if need.rates > 0 {
        row("rates", need.rates, format!("for each of {workers}, and those that a reload brings"));
    }
    row("suspended", need.suspended, format!("{} for each of {workers}", count(limits.suspended.into())));
    let buffers = format!(
        "{} flows; {} for all buffers, {} to send and {} to receive a leg",
        count(limits.participating.into()),
        bytes(limits.participating_bytes),
        bytes(limits.send_buffer),
        bytes(limits.receive_buffer)
    );
    row("participating", need.participating, buffers);
    row("history", need.history, format!("{} servers and as many clients", count(limits.history.into())));
    if need.streams > 0 {
        row("streams", need.streams, "what programs may have accepted at once".to_owned());
    }
    row("mailboxes", need.mailboxes, format!("of {workers}"));
    row("all", need.total(), String::new());
    table.lines(2)
}

fn rules(config: &Config) -> String {
    let mut table = Table::new(["RULE", "ACTION", "FLOWS", "MATCH"]);
    for rule in &config.rules {
        let action = match rule.action {
            Action::Reject(rejection) => format!("reject with {rejection}"),
            Action::Forward { hop } => {
                format!("forward by {}", config.next_hop(config.hops[usize::from(hop)]))
            }
            Action::Offer { module } => offer(config, module),
            other => match rule.standing.module {
                Some(module) => format!("{} for {}", other.name(), config.modules[usize::from(module)].name),
                None => other.name().to_owned(),
            },
        };
        let inspect = rule.inspection.map(|index| config.inspections[usize::from(index)].name.as_str());
        let idle = rule.standing.idle.map(millis);
        let flows = render_rules::flows(inspect, RuleSplit::of(&rule.standing), idle);
        table.row([rule.name.clone(), action, flows, rule.matches.to_string()]);
    }
    let default = match config.policy.default {
        dataplane::policy::Fallback::Pass => "pass",
        dataplane::policy::Fallback::Drop => "drop",
    };
    table.row(["(default)", default, "-", "everything else"].map(str::to_owned));
    format!("rules\n{}", table.lines(2))
}

fn offer(config: &Config, module: u16) -> String {
    let module = &config.modules[usize::from(module)];
    let merge = match module.merge {
        Merge::Established => "when established".to_owned(),
        Merge::FirstResponse => "after the first response".to_owned(),
        Merge::AfterBytes(count) => format!("after {}", bytes(count)),
        Merge::Never => "never".to_owned(),
    };
    let through = match module.acknowledge {
        Acknowledge::Receipt => "",
        Acknowledge::Through => ", acknowledged through",
    };
    let role = module.tunnel.as_ref().map(|tunnel| match tunnel.role {
        Role::Enter => ", into a tunnel".to_owned(),
        Role::Leave => ", out of a tunnel".to_owned(),
    });
    let far = [
        role,
        (!module.servers.is_empty()).then(|| format!(", to {}", join(&module.servers))),
        (!module.clients.is_empty()).then(|| format!(", from {}", join(&module.clients))),
        (module.hop != NextHop::default()).then(|| format!(", by {}", config.next_hop(module.hop))),
    ];
    let far: String = far.into_iter().flatten().collect();
    let together = module.together.as_ref().map_or_else(String::new, |together| {
        let completed = match together.complete {
            Complete::Each => "each",
            Complete::First => "the first",
        };
        format!(
            ", {completed} of {} ports together",
            together.ports.iter().map(ExactSizeIterator::len).sum::<usize>()
        )
    });
    format!("offer to {} (merged {merge}{through}{far}{together})", module.name)
}
