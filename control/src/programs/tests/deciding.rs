//! Offers, orders, and what happens without them.

use std::net::Ipv6Addr;

use dataplane::flow::far::NextHop;
use dataplane::port::PortId;
use dataplane::refusal::{IcmpRejection, Rejection};
use quadrille_listener::wire::{self, Action, Hello, MAGIC, VERSION, action};
use quadrille_listener::{IcmpError, NoLonger, Why};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketFlags, SocketType, connect, recv, send,
    socket_with,
};
use zerocopy::IntoBytes;

use super::*;
use crate::module::{Answer, Consult, Gone, Order, Proxying, Target};

#[test]
fn a_program_sees_what_is_known() {
    let (mut core, mut listener) = Core::with_listener();
    assert_eq!((listener.deadline(), listener.outstanding()), (Duration::from_millis(700), 8));
    assert_eq!(core.offer(5), Decision::Later(Duration::from_millis(700)));
    assert!(core.module.decided(Instant::ZERO).is_none());
    let partial = partial(&mut listener);
    assert_eq!(partial.id(), 5);
    assert_eq!(partial.client().to_string(), "[fd00::1]:4001");
    assert_eq!(partial.server().to_string(), "[fd00::2]:443");
    assert_eq!((partial.pair(), partial.vlans()), (2, [0, 77]));
    assert_eq!((partial.options().mss, partial.options().timestamps), (Some(1440), false));
    assert_eq!(partial.syn(), [9; 74]);
    assert_eq!(partial.server_history(), None);
    let past = partial.client_history().unwrap();
    assert_eq!(past.outcome, quadrille_listener::Outcome::Unreachable { kind: 3, code: 1 });
    assert_eq!(past.age, Duration::from_secs(2));
}

#[test]
fn orders_become_decisions() {
    let (mut core, mut listener) = Core::with_listener();
    let from_v6 = Some(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 1));
    let error = IcmpError { from_v6, ..IcmpError::HOST_UNREACHABLE };
    let icmp = IcmpRejection { v4: (3, 1), v6: (1, 3), from_v4: None, from_v6 };
    let mut check = |ticket, order: &dyn Fn(quadrille_listener::Partial), expected| {
        core.offer(ticket);
        core.module.decided(Instant::ZERO);
        order(partial(&mut listener));
        assert_eq!(core.decided(), (Ticket(ticket), expected));
    };
    check(2, &|partial| partial.drop_silently().unwrap(), Decision::Drop);
    check(3, &|partial| partial.reject_with_reset().unwrap(), Decision::Reject(Rejection::Reset));
    check(4, &|partial| partial.reject_with(error).unwrap(), Decision::Reject(Rejection::Icmp(icmp)));
    check(5, &|partial| partial.bypass().unwrap(), Decision::Bypass);
    check(6, &|partial| partial.monitor().unwrap(), Decision::Monitor);
    check(7, &|partial| partial.proxy().unwrap(), Decision::Proxy(RELAY.proxying()));
    check(8, &|partial| partial.accept().unwrap(), Decision::Accept);
    let server = Some("10.0.0.9:80".parse().unwrap());
    let hop = quadrille_listener::NextHop { mac: Some([2; 6]), vlans: Some([0, 7]), port: Some(1) };
    let onwards = NextHop { mac: Some([2; 6]), vlans: Some((0, 7)), port: Some(PortId(1)) };
    let target = quadrille_listener::Target { server, client: None, hop };
    let expected = Target { server, client: None, hop: onwards };
    check(9, &|partial| partial.proxy_to(&target).unwrap(), Decision::ProxyTo(RELAY.proxying(), expected));
    check(10, &|partial| partial.forward(&hop).unwrap(), Decision::Forward(onwards));
    assert_eq!(core.count(Counter::ProgramsDecided), 9);
}

#[test]
fn a_program_is_consulted() {
    let (mut core, mut listener) = Core::with_listener();
    core.offer(4);
    core.module.decided(Instant::ZERO);
    partial(&mut listener).consult(Duration::from_secs(3)).unwrap();
    let consult = Some(Consult::within(Duration::from_secs(3)));
    assert_eq!(core.decided(), (Ticket(4), Decision::Proxy(Proxying { consult, ..RELAY.proxying() })));

    let options = TcpOptions { mss: Some(1300), ..TcpOptions::default() };
    let answer = Answer { outcome: Outcome::Accepted, options: Some(&options) };
    let decision = with_partial(4, |partial| core.module.answered(partial, &answer));
    assert_eq!(decision, Decision::Later(Duration::from_millis(700)));
    core.module.decided(Instant::ZERO);
    let Event::Answered(answered) = listener.next().unwrap() else { panic!("no answer") };
    assert_eq!(answered.outcome, quadrille_listener::Outcome::Accepted);
    assert_eq!(answered.options.mss, Some(1300));
    assert_eq!(answered.partial.server().port(), 80);
    answered.partial.reject_with_reset().unwrap();
    assert_eq!(core.decided(), (Ticket(4), Decision::Reject(Rejection::Reset)));
}

/// A program that wants to see the server's answer has decided who is asked first, whatever the configuration says.
#[test]
fn who_is_consulted_about_a_server_has_it_asked_first() {
    let order = |decision: Decision| match decision {
        Decision::Proxy(proxying) => proxying.order,
        other => panic!("{other:?}"),
    };
    let client_first = Some(Duration::from_secs(1));
    let mut core = Core::start(|settings| settings.relay = Relay { client_first, ..RELAY });
    let mut listener = core.listener();
    core.offer(2);
    core.offer(4);
    core.module.decided(Instant::ZERO);
    partial(&mut listener).proxy().unwrap();
    assert_eq!(order(core.decided().1), Order::ClientFirst);
    partial(&mut listener).consult(Duration::from_secs(1)).unwrap();
    assert_eq!(order(core.decided().1), Order::ServerFirst);
    let answer = Answer { outcome: Outcome::Refused, options: None };
    with_partial(4, |partial| core.module.answered(partial, &answer));
    core.module.decided(Instant::ZERO);
    let Event::Answered(answered) = listener.next().unwrap() else { panic!("no answer") };
    answered.partial.proxy().unwrap();
    assert_eq!(order(core.decided().1), Order::ServerFirst);
}

#[test]
fn without_a_program_the_default_is_at_once() {
    let mut core = Core::start(|_| {});
    assert_eq!(core.offer(1), Decision::Monitor);
    assert_eq!(core.count(Counter::ProgramsAbsent), 1);
    let listener = core.listener();
    assert!(matches!(core.offer(2), Decision::Later(_)));
    assert!(matches!(core.offer(4), Decision::Later(_)));
    drop(listener);
    let mut gone = [core.decided(), core.decided()];
    gone.sort_by_key(|(ticket, _)| ticket.0);
    assert_eq!(gone, [(Ticket(2), Decision::Monitor), (Ticket(4), Decision::Monitor)]);
    assert_eq!(core.count(Counter::ProgramsGone), 2);
    core.until(|core| (!core.is_ready()).then_some(()));
    assert_eq!(core.offer(6), Decision::Monitor);
}

#[test]
fn undecided_offers_are_bounded() {
    let (mut core, mut listener) = Core::with_listener();
    let decisions: Vec<_> = (0..10).map(|ticket| core.offer(ticket)).collect();
    assert_eq!(decisions.iter().filter(|decision| matches!(decision, Decision::Later(_))).count(), 8);
    assert_eq!(decisions[8..], [Decision::Monitor; 2]);
    assert_eq!(core.count(Counter::ProgramsBusy), 2);
    core.module.decided(Instant::ZERO);
    partial(&mut listener).drop_silently().unwrap();
    assert_eq!(core.decided(), (Ticket(0), Decision::Drop));
    assert!(matches!(core.offer(10), Decision::Later(_)));
}

/// One that never reads is offered nothing more, though what it was offered is over.
#[test]
fn a_program_that_does_not_read_is_passed_over() {
    let (mut core, listener) = Core::with_listener();
    let mut offered = 0;
    let start = WallInstant::now();
    while core.is_ready() {
        assert!(start.elapsed() < SOON && offered < 1_000_000, "it is offered more and more");
        if let Decision::Later(_) = core.offer(offered) {
            core.module.gone(Ticket(offered), Gone::Client);
            offered += 1;
        }
        core.module.decided(Instant::ZERO);
    }
    assert_eq!(core.offer(offered), Decision::Monitor);
    let mut other = Listener::connect(core.folder.path().join("filter.sock")).unwrap();
    // What the module has still to say about the others goes first, and is said in rounds.
    core.until(|core| {
        core.module.decided(Instant::ZERO);
        matches!(core.offer(offered), Decision::Later(_)).then_some(())
    });
    core.module.decided(Instant::ZERO);
    // The last ones offered before may have waited for a program, too; they are over.
    loop {
        match other.next().unwrap() {
            Event::Partial(partial) if partial.id() == offered => break,
            Event::Partial(partial) => assert!(partial.id() < offered),
            _ => {}
        }
    }
    drop(listener);
}

/// Whether a program keeps up shows in what its socket takes, not in how much has come between two of its turns.
#[test]
fn a_burst_is_no_reason_to_pass_a_program_over() {
    let (mut core, mut listener) = Core::with_listener();
    listener.set_nonblocking(true).unwrap();
    for ticket in 0..5_000 {
        core.offer(ticket);
        core.module.gone(Ticket(ticket), Gone::Client);
        core.module.decided(Instant::ZERO);
        assert!(core.is_ready(), "passed over after {ticket}");
        // No more is unread than a mailbox holds, which is less than any socket takes.
        while listener.next().is_ok() {}
    }
}

#[test]
fn what_is_overdue_is_the_defaults_and_what_comes_later_is_ignored() {
    let (mut core, mut listener) = Core::with_listener();
    core.offer(2);
    core.module.decided(Instant::ZERO);
    let late = partial(&mut listener);
    assert_eq!(with_partial(2, |partial| core.module.overdue(partial)), Decision::Monitor);
    core.module.gone(Ticket(2), Gone::Settled);
    core.module.decided(Instant::ZERO);
    assert_eq!(core.count(Counter::ProgramsLate), 1);
    let Event::Gone(gone) = listener.next().unwrap() else { panic!("not gone") };
    assert_eq!(gone, NoLonger { id: 2, why: Why::Overdue });
    late.bypass().unwrap();
    core.offer(4);
    core.module.decided(Instant::ZERO);
    partial(&mut listener).drop_silently().unwrap();
    assert_eq!(core.decided(), (Ticket(4), Decision::Drop));
}

#[test]
fn a_client_that_gives_up_is_no_longer_awaited() {
    let (mut core, mut listener) = Core::with_listener();
    for why in [Gone::Client, Gone::Renewed, Gone::Displaced] {
        core.offer(2);
        core.module.gone(Ticket(2), why);
        core.module.decided(Instant::ZERO);
        partial(&mut listener);
        let Event::Gone(gone) = listener.next().unwrap() else { panic!("not gone") };
        let expected = match why {
            Gone::Client => Why::Client,
            Gone::Renewed => Why::Renewed,
            _ => Why::Displaced,
        };
        assert_eq!(gone, NoLonger { id: 2, why: expected });
    }
}

#[test]
fn programs_take_turns() {
    let (mut core, mut one) = Core::with_listener();
    let mut other = Listener::connect(core.folder.path().join("filter.sock")).unwrap();
    core.until(|core| (core.module.ready() == 2).then_some(()));
    for ticket in 0..4 {
        core.offer(ticket);
    }
    core.module.decided(Instant::ZERO);
    let mut ids = [&mut one, &mut other].map(|listener| [partial(listener).id(), partial(listener).id()]);
    ids.sort_unstable();
    assert_eq!(ids, [[0, 2], [1, 3]]);
}

/// What a program sends that is no part of the protocol ends its connection and nobody else's.
#[test]
fn nonsense_ends_the_connection_that_it_came_by() {
    let (mut core, mut sound) = Core::with_listener();
    let hello = Hello { magic: MAGIC, version: VERSION, ..Hello::new() };
    let unfit = Action { action: action::REJECT, rejection: wire::rejection::ICMP, ..Action::new() };
    let nowhere =
        Action { action: action::PROXY, towards: wire::towards::SERVER, family: 4, ..Action::new() };
    let group =
        Action { action: action::FORWARD, towards: wire::towards::MAC, next_mac: [1; 6], ..Action::new() };
    let early = Action { action: action::BYPASS, towards: wire::towards::PORT, ..Action::new() };
    let cases: [(bool, Vec<u8>); 11] = [
        (false, vec![1]),
        (false, vec![0; 5000]),
        (false, Hello { version: 9, ..hello }.as_bytes().to_vec()),
        (false, Action { action: action::DROP, ..Action::new() }.as_bytes().to_vec()),
        (true, hello.as_bytes().to_vec()),
        (true, Action { action: 99, ..Action::new() }.as_bytes().to_vec()),
        (true, Action { action: action::DROP, consult_ms: 1, ..Action::new() }.as_bytes().to_vec()),
        (true, unfit.as_bytes().to_vec()),
        (true, nowhere.as_bytes().to_vec()),
        (true, group.as_bytes().to_vec()),
        (true, early.as_bytes().to_vec()),
    ];
    for (greets, nonsense) in &cases {
        let flags = SocketFlags::CLOEXEC;
        let socket = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None).unwrap();
        connect(&socket, &SocketAddrUnix::new(core.folder.path().join("filter.sock")).unwrap()).unwrap();
        let mut answer = [0; 500];
        if *greets {
            send(&socket, hello.as_bytes(), SendFlags::NOSIGNAL).unwrap();
            assert_eq!(recv(&socket, &mut answer, RecvFlags::empty()).unwrap().0, size_of::<Hello>());
        }
        send(&socket, nonsense, SendFlags::NOSIGNAL).unwrap();
        assert_eq!(recv(&socket, &mut answer, RecvFlags::empty()).unwrap().0, 0, "{nonsense:?}");
    }
    let mut expelled = 0;
    core.until(|core| {
        expelled += core.count(Counter::ProgramsExpelled);
        (expelled == cases.len() as u64).then_some(())
    });
    // An order about what it was never offered is none of them: it may have gone.
    core.until(|core| (core.module.ready() == 1).then_some(()));
    core.offer(2);
    core.module.decided(Instant::ZERO);
    partial(&mut sound).bypass().unwrap();
    assert_eq!(core.decided(), (Ticket(2), Decision::Bypass));
}

#[test]
fn the_socket_is_for_owner_and_group_and_goes_with_the_module() {
    use std::os::unix::fs::PermissionsExt;
    let core = Core::start(|_| {});
    let socket = core.folder.path().join("filter.sock");
    assert_eq!(std::fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o660);
    let again = Settings { socket: socket.clone(), ..settings_like(&core) };
    let refused = Programs::start(again, SystemClock::start()).err().map(|error| error.to_string());
    assert!(refused.is_some_and(|text| text.contains("already running")));
    let Core { module, folder } = core;
    drop(module);
    assert!(!socket.exists());
    drop(folder);
}

fn settings_like(core: &Core) -> Settings {
    core.module.settings().clone()
}
