//! The configuration of the appliance in a lab, as typed values that become TOML.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use super::pmd::Pmd;
use super::topology::{CLIENT_SIDE, SERVER_SIDE};

/// When the relay module merges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Merge {
    /// As soon as both handshakes are done.
    Established,
    /// When the server has answered for the first time.
    FirstResponse,
    /// After so many bytes.
    AfterBytes(u64),
    /// Never: the flow stays participating.
    Never,
}

impl Merge {
    /// One of each.
    pub const ALL: [Self; 4] = [Self::Established, Self::FirstResponse, Self::AfterBytes(4096), Self::Never];

    fn toml(self) -> String {
        match self {
            Self::Established => "\"established\"".into(),
            Self::FirstResponse => "\"first-response\"".into(),
            Self::AfterBytes(bytes) => format!("{{ after_bytes = {bytes} }}"),
            Self::Never => "\"never\"".into(),
        }
    }
}

/// Which initial sequence numbers the two legs have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isn {
    /// Each other's: both deltas are 0.
    Mirror,
    /// The appliance's own: the deltas are not 0.
    Keyed,
}

impl Isn {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Mirror, Self::Keyed];

    const fn name(self) -> &'static str {
        match self {
            Self::Mirror => "mirror",
            Self::Keyed => "keyed",
        }
    }
}

/// What a rule does with what it matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Silence.
    Drop,
    /// A reset.
    Reject,
    /// The ICMP error of that name.
    RejectWith(&'static str),
    /// Never intercepted.
    Bypass,
    /// Passed and observed.
    Monitor,
    /// Offered to the relay module.
    Offer,
}

impl Action {
    const fn name(self) -> &'static str {
        match self {
            Self::Drop => "drop",
            Self::Reject | Self::RejectWith(_) => "reject",
            Self::Bypass => "bypass",
            Self::Monitor => "monitor",
            Self::Offer => "offer",
        }
    }
}

/// A path between the hosts that loses and delays, half of it on each side of the appliance.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Impair {
    /// Frames lost on the way from host to host, each way, percent.
    pub loss_percent: f64,
    /// There and back between the hosts.
    pub round_trip: Duration,
    /// Where the random numbers begin.
    pub seed: u64,
}

impl Impair {
    /// Frames on one cable at once: some 4 Gbit/s of full frames at 25 ms.
    const QUEUE: usize = 8192;

    /// For each of the two ports; `None` when nothing is impaired. A frame crosses two cables each way.
    fn toml(&self) -> Option<String> {
        let loss = 1.0 - (1.0 - self.loss_percent / 100.0).sqrt();
        let delay = self.round_trip / 4;
        (loss > 0.0 || !delay.is_zero()).then(|| {
            let (queue, seed, delay) = (Self::QUEUE, self.seed, delay.as_micros());
            format!(
                "{{ loss = \"{:.4}%\", delay = \"{delay}us\", queue = {queue}, seed = {seed} }}",
                loss * 100.0
            )
        })
    }
}

/// An appliance with one pair of ports, rules in order and one relay module.
#[derive(Debug, Clone)]
#[must_use]
pub struct Setup {
    pmd: Pmd,
    merge: Merge,
    isn: Isn,
    rules: Vec<String>,
    offer_the_rest: bool,
    impair: Option<Impair>,
    module_keys: String,
    limits: String,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            pmd: Pmd::AfPacket,
            merge: Merge::Established,
            isn: Isn::Mirror,
            rules: Vec::new(),
            offer_the_rest: true,
            impair: None,
            module_keys: String::new(),
            limits: String::new(),
        }
    }
}

impl Setup {
    /// Relays every connection with this merge and these sequence numbers.
    pub fn relay(merge: Merge, isn: Isn) -> Self {
        Self { merge, isn, ..Self::default() }
    }

    /// Uses this driver; af_packet unless said.
    pub fn pmd(mut self, pmd: Pmd) -> Self {
        self.pmd = pmd;
        self
    }

    /// Puts a rule for one destination port before the one that offers all the rest.
    pub fn on_port(self, port: u16, action: Action) -> Self {
        self.rule(&format!("{{ destination_ports = [{port}] }}"), action)
    }

    /// Puts a rule before the one that offers all the rest; `matches` is an inline table of TOML.
    pub fn rule(mut self, matches: &str, action: Action) -> Self {
        let (number, name) = (self.rules.len(), action.name());
        let more = match action {
            Action::Offer => "module = \"lab\"\n".into(),
            Action::RejectWith(error) => format!("with = \"{error}\"\n"),
            _ => String::new(),
        };
        self.rules.push(format!(
            "[[rule]]\nname = \"{name}-{number}\"\nmatch = {matches}\naction = \"{name}\"\n{more}"
        ));
        self
    }

    /// Puts a rule before the one that offers all the rest: forward by `hop`. Both are inline tables of TOML.
    pub fn forward(mut self, matches: &str, hop: &str) -> Self {
        let number = self.rules.len();
        self.rules.push(format!(
            "[[rule]]\nname = \"forward-{number}\"\nmatch = {matches}\naction = \"forward\"\nnext_hop = {hop}\n"
        ));
        self
    }

    /// Further keys of the relay module, lines of TOML.
    pub fn module_keys(mut self, lines: &str) -> Self {
        self.module_keys = lines.into();
        self
    }

    /// Limits, lines of TOML.
    pub fn limits(mut self, lines: &str) -> Self {
        self.limits = lines.into();
        self
    }

    /// Leaves what no rule matches to the default policy.
    pub fn without_offer(mut self) -> Self {
        self.offer_the_rest = false;
        self
    }

    /// Impairs the path between the hosts.
    pub fn impair(mut self, impair: Impair) -> Self {
        self.impair = Some(impair);
        self
    }

    /// The driver.
    pub fn driver(&self) -> Pmd {
        self.pmd
    }

    /// The configuration file's text.
    pub fn toml(&self, socket: &Path, queues: u16) -> String {
        let workers: Vec<String> = worker_cores(queues, cores()).map(|core| core.to_string()).collect();
        let mut text = format!(
            "socket = \"{}\"\n\n[memory]\nhugepages = false\n\n\
             [cores]\ncontrol = 0\nworkers = [{}]\nidle = \"sleep\"\nidle_ceiling_us = 50\n\n[limits]\n{}\n\n",
            socket.display(),
            workers.join(", "),
            self.limits
        );
        let ports = [("client", CLIENT_SIDE, "server"), ("server", SERVER_SIDE, "client")];
        for (index, (name, interface, peer)) in ports.into_iter().enumerate() {
            let device = self.pmd.device(index, interface, queues);
            // Writing to a String cannot fail.
            let _ = writeln!(text, "[[port]]\nname = \"{name}\"\ndevice = \"{device}\"\npeer = \"{peer}\"");
            match self.impair.and_then(|impair| impair.toml()) {
                Some(cable) => writeln!(text, "impair = {cable}\n"),
                None => writeln!(text),
            }
            .unwrap_or_default();
        }
        for rule in &self.rules {
            let _ = writeln!(text, "{rule}");
        }
        if self.offer_the_rest {
            let rest = "[[rule]]\nname = \"the-rest\"\naction = \"offer\"\nmodule = \"lab\"\n\n";
            text.push_str(rest);
        }
        let (merge, isn) = (self.merge.toml(), self.isn.name());
        let keys = &self.module_keys;
        let _ = writeln!(text, "[module.lab]\nkind = \"relay\"\nmerge = {merge}\nisn = \"{isn}\"\n{keys}");
        text
    }
}

/// Cores of this machine that the appliance may run on.
fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// One core for each worker. Core 0 is the control core's: a worker shares it only where there are no more.
fn worker_cores(queues: u16, cores: usize) -> std::ops::Range<usize> {
    let workers = usize::from(queues);
    let first = usize::from(workers < cores);
    first..first + workers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_leave_core_0_to_the_control_core_where_they_can() {
        assert_eq!(worker_cores(1, 2), 1..2);
        assert_eq!(worker_cores(2, 2), 0..2);
        assert_eq!(worker_cores(2, 4), 1..3);
    }

    #[test]
    fn rules_come_in_order_and_the_offer_last() {
        let setup = Setup::relay(Merge::AfterBytes(7), Isn::Keyed)
            .on_port(81, Action::Drop)
            .rule("{ vlan = 77 }", Action::Bypass);
        let text = setup.toml(Path::new("/run/q.sock"), 1);
        let places =
            ["workers = [", "drop-0", "vlan = 77", "the-rest", "[module.lab]", "after_bytes = 7", "keyed"]
                .map(|part| text.find(part).unwrap_or_else(|| panic!("{part} is missing in:\n{text}")));
        assert!(places.is_sorted(), "{text}");
    }

    #[test]
    fn a_path_is_made_of_two_cables_each_way() {
        let impair = |loss_percent, round_trip| {
            let impair = Impair { loss_percent, round_trip: Duration::from_millis(round_trip), seed: 9 };
            Setup::default().impair(impair).toml(Path::new("/q"), 1)
        };
        // Lost on one of two cables: 1 − (1 − 0.002503)² is 0.5 %.
        let text = impair(0.5, 100);
        let cable = "impair = { loss = \"0.2503%\", delay = \"25000us\", queue = 8192, seed = 9 }";
        assert_eq!(text.matches(cable).count(), 2, "{text}");
        assert!(!impair(0.0, 0).contains("impair"), "{text}");
    }

    #[test]
    fn without_an_offer_no_rule_names_a_module() {
        let text = Setup::default().without_offer().on_port(1, Action::Monitor).toml(Path::new("/q"), 2);
        assert!(!text.contains("module = \"lab\"") && text.contains("workers = ["), "{text}");
    }
}
