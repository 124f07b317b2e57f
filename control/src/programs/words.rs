//! The module's words in those of the protocol, and back.

use std::net::IpAddr;
use std::time::Duration;

use dataplane::flow::far::NextHop;
use dataplane::port::PortId;
use dataplane::refusal::{IcmpRejection, Rejection};
use dataplane::wire::ip::is_host;
use dataplane::wire::tcp_options::TcpOptions;
use quadrille_listener::wire::{
    self, Action, Hello, MAGIC, MAX_SYN, Offer, VERSION, action, from, gone, kind, option, outcome,
    rejection, towards,
};

use super::shared::Away;
use crate::module::{
    self, Answer, Consult, Decision, Gone, Outcome, PartialConnection, Past, Proxying, Target,
};

const MAX_VLAN: u16 = 4094;

/// What the appliance begins with.
pub(super) fn hello(outstanding: usize, deadline: Duration) -> Hello {
    Hello {
        magic: MAGIC,
        version: VERSION,
        outstanding: u32::try_from(outstanding).unwrap_or(u32::MAX),
        deadline_ms: u32::try_from(deadline.as_millis()).unwrap_or(u32::MAX),
        ..Hello::new()
    }
}

/// A partial connection, and of one that was consulted about, the answer.
pub(super) fn offer(partial: &PartialConnection<'_>, answer: Option<&Answer<'_>>) -> Offer {
    let (client, server) = (partial.key.quad.client(), partial.key.quad.server());
    let segment = partial.key.segment;
    let history = partial.history();
    let shown = partial.syn.len().min(MAX_SYN);
    let mut offer = Offer {
        kind: if answer.is_some() { kind::ANSWER } else { kind::OFFER },
        id: partial.ticket.0,
        client: octets(client.ip()),
        server: octets(server.ip()),
        client_port: client.port(),
        server_port: server.port(),
        family: if client.is_ipv4() { 4 } else { 6 },
        pair: segment.pair(),
        outer_vlan: segment.outer_vlan(),
        inner_vlan: segment.inner_vlan(),
        options: options(partial.options),
        mss: partial.options.mss.unwrap_or(0),
        window_scale: partial.options.window_scale.unwrap_or(0),
        timestamp: partial.options.timestamps.map_or(0, |timestamps| timestamps.value),
        server_past: past(history.server),
        client_past: past(history.client),
        answer: answer.map(said).unwrap_or_default(),
        syn_length: shown as u16,
        syn_whole: u16::try_from(partial.syn.len()).unwrap_or(u16::MAX),
        ..Offer::new()
    };
    offer.syn[..shown].copy_from_slice(&partial.syn[..shown]);
    offer
}

fn octets(address: IpAddr) -> [u8; 16] {
    let mut octets = [0; 16];
    match address {
        IpAddr::V4(address) => octets[..4].copy_from_slice(&address.octets()),
        IpAddr::V6(address) => octets = address.octets(),
    }
    octets
}

fn options(options: &TcpOptions) -> u16 {
    [
        (options.mss.is_some(), option::MSS),
        (options.window_scale.is_some(), option::WINDOW_SCALE),
        (options.sack_permitted, option::SACK),
        (options.timestamps.is_some(), option::TIMESTAMPS),
        (options.other, option::OTHER),
    ]
    .into_iter()
    .filter(|(is_there, _)| *is_there)
    .fold(0, |set, (_, option)| set | option)
}

/// Outcome, ICMP type and code.
fn ending(outcome: Outcome) -> (u8, u8, u8) {
    match outcome {
        Outcome::Accepted => (outcome::ACCEPTED, 0, 0),
        Outcome::Refused => (outcome::REFUSED, 0, 0),
        Outcome::Unreachable { kind, code } => (outcome::UNREACHABLE, kind, code),
        Outcome::Silent => (outcome::SILENT, 0, 0),
    }
}

fn past(past: Option<Past>) -> wire::Past {
    let Some(past) = past else { return wire::Past::default() };
    let (outcome, icmp_type, icmp_code) = ending(past.outcome);
    let age_ms = u32::try_from(past.age.as_millis()).unwrap_or(u32::MAX);
    wire::Past { outcome, icmp_type, icmp_code, reserved: 0, age_ms }
}

fn said(answer: &Answer<'_>) -> wire::Answer {
    let (outcome, icmp_type, icmp_code) = ending(answer.outcome);
    wire::Answer {
        outcome,
        icmp_type,
        icmp_code,
        window_scale: answer.options.and_then(|options| options.window_scale).unwrap_or(0),
        options: answer.options.map_or(0, options),
        mss: answer.options.and_then(|options| options.mss).unwrap_or(0),
    }
}

/// What an order of a program comes to. `proxying` is what the configuration says about proxying.
pub(super) fn decision(order: &Action, proxying: Proxying) -> Decision {
    match order.action {
        action::DROP => Decision::Drop,
        action::REJECT => Decision::Reject(refusal(order)),
        action::BYPASS => Decision::Bypass,
        action::MONITOR => Decision::Monitor,
        action::ACCEPT => Decision::Accept,
        action::FORWARD => Decision::Forward(next_hop(order)),
        _ => {
            let silence = Duration::from_millis(order.consult_ms.into());
            let consult = (!silence.is_zero()).then(|| Consult::within(silence));
            match target(order) {
                target if target == Target::default() => Decision::Proxy(Proxying { consult, ..proxying }),
                // Who says which server it is does not wait for the client's words to choose one.
                target => Decision::ProxyTo(
                    Proxying { consult, order: module::Order::ServerFirst, ..proxying },
                    target,
                ),
            }
        }
    }
}

fn next_hop(order: &Action) -> NextHop {
    let has = |place| order.towards & place != 0;
    NextHop {
        mac: has(towards::MAC).then_some(order.next_mac),
        vlans: has(towards::VLANS).then_some((order.outer_vlan, order.inner_vlan)),
        port: has(towards::PORT).then_some(PortId(order.next_port)),
    }
}

fn target(order: &Action) -> Target {
    let has = |place| order.towards & place != 0;
    let address = |octets: [u8; 16]| -> IpAddr {
        match (order.family, octets) {
            (4, [a, b, c, d, ..]) => [a, b, c, d].into(),
            _ => octets.into(),
        }
    };
    Target {
        server: has(towards::SERVER).then(|| (address(order.server), order.server_port).into()),
        client: has(towards::CLIENT).then(|| address(order.client)),
        hop: next_hop(order),
    }
}

fn refusal(order: &Action) -> Rejection {
    if order.rejection == rejection::RESET {
        return Rejection::Reset;
    }
    Rejection::Icmp(IcmpRejection {
        v4: (order.icmp4_type, order.icmp4_code),
        v6: (order.icmp6_type, order.icmp6_code),
        from_v4: (order.from & from::V4 != 0).then(|| order.from_v4.into()),
        from_v6: (order.from & from::V6 != 0).then(|| order.from_v6.into()),
    })
}

/// Whether a rejection is one that a SYN can get, and all places are those of hosts or routers.
pub(super) fn is_fit(order: &Action) -> bool {
    match order.action {
        action::REJECT => {
            let Rejection::Icmp(error) = refusal(order) else { return true };
            let from_v4 = error.from_v4.is_none_or(|from| is_host(from.into()));
            error.fits() && from_v4 && error.from_v6.is_none_or(|from| is_host(from.into()))
        }
        action::PROXY | action::FORWARD => {
            let (target, hop) = (target(order), next_hop(order));
            target.server.is_none_or(|server| is_host(server.ip()) && server.port() != 0)
                && target.client.is_none_or(is_host)
                && hop.mac.is_none_or(|mac| mac[0] & 1 == 0 && mac != [0; 6])
                && hop.vlans.is_none_or(|(outer, inner)| outer <= MAX_VLAN && inner <= MAX_VLAN)
        }
        _ => true,
    }
}

/// Why a program need not decide any more.
pub(super) fn why(away: Away) -> u8 {
    match away {
        Away::Gone(Gone::Client) => gone::CLIENT,
        Away::Gone(Gone::Renewed) => gone::RENEWED,
        Away::Gone(Gone::Overdue) => gone::OVERDUE,
        Away::Gone(Gone::Displaced) => gone::DISPLACED,
        Away::Gone(Gone::Settled) => gone::SETTLED,
        Away::Refused => gone::REFUSED,
    }
}
