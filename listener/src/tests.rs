//! A listener over one end of a socket pair; the test plays the appliance at the other.

use std::io::{ErrorKind, IoSlice, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use proptest::prelude::*;
use rustix::net::{
    AddressFamily, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType,
    recv, send, sendmsg, socketpair,
};
use zerocopy::{FromBytes, IntoBytes};

use crate::wire::{self, *};
use crate::{Event, IcmpError, Listener, NextHop, Outcome, Target, Why};

struct Appliance(OwnedFd);

impl Appliance {
    fn say(&self, message: &(impl IntoBytes + zerocopy::Immutable)) {
        send(&self.0, message.as_bytes(), SendFlags::NOSIGNAL).unwrap();
    }

    fn hears(&self) -> FromProgram {
        let mut bytes = [0; MAX_MESSAGE];
        let (len, _) = recv(&self.0, &mut bytes, RecvFlags::empty()).unwrap();
        FromProgram::read(&bytes[..len]).unwrap()
    }

    fn ordered(&self) -> Action {
        match self.hears() {
            FromProgram::Action(action) => action,
            other => panic!("{other:?}"),
        }
    }
}

fn pair() -> (OwnedFd, Appliance) {
    let (ours, theirs) =
        socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).unwrap();
    (ours, Appliance(theirs))
}

fn hello() -> Hello {
    Hello { magic: MAGIC, version: VERSION, outstanding: 7, deadline_ms: 250, ..Hello::new() }
}

fn greeted() -> (Listener, Appliance) {
    let (ours, appliance) = pair();
    appliance.say(&hello());
    let listener = Listener::greet(ours).unwrap();
    assert!(matches!(appliance.hears(), FromProgram::Hello(_)));
    (listener, appliance)
}

fn offer(id: u64) -> Offer {
    let mut offer = Offer { id, family: 4, client_port: 4000, server_port: 80, mss: 1460, ..Offer::new() };
    offer.client[..4].copy_from_slice(&[10, 0, 0, 1]);
    offer.server[..4].copy_from_slice(&[10, 0, 0, 2]);
    offer.options = option::MSS | option::SACK;
    offer.server_past = Past { outcome: outcome::REFUSED, age_ms: 1500, ..Past::default() };
    (offer.syn_length, offer.syn[1]) = (60, 9);
    offer
}

#[test]
fn an_offer_shows_what_is_known() {
    let (mut listener, appliance) = greeted();
    assert_eq!((listener.outstanding(), listener.deadline()), (7, Duration::from_millis(250)));
    appliance.say(&offer(5));
    let partial = listener.accept().unwrap();
    assert_eq!(partial.id(), 5);
    assert_eq!(partial.client().to_string(), "10.0.0.1:4000");
    assert_eq!(partial.server().to_string(), "10.0.0.2:80");
    assert_eq!((partial.options().mss, partial.options().window_scale), (Some(1460), None));
    assert_eq!((partial.syn().len(), partial.syn()[1]), (60, 9));
    let past = partial.server_history().unwrap();
    assert_eq!((past.outcome, past.age), (Outcome::Refused, Duration::from_millis(1500)));
    assert_eq!(partial.client_history(), None);
}

#[test]
fn each_order_says_what_it_is() {
    let (mut listener, appliance) = greeted();
    let mut next = |id| {
        appliance.say(&offer(id));
        listener.accept().unwrap()
    };
    next(1).drop_silently().unwrap();
    next(2).reject_with_reset().unwrap();
    next(3).reject_with(IcmpError { from_v4: Some([1, 2, 3, 4].into()), ..IcmpError::PROHIBITED }).unwrap();
    next(4).bypass().unwrap();
    next(5).monitor().unwrap();
    next(6).proxy().unwrap();
    next(7).consult(Duration::from_micros(1)).unwrap();
    next(8).accept().unwrap();
    let hop = NextHop { mac: Some([2; 6]), vlans: Some([0, 7]), port: Some(0) };
    let target = Target {
        server: Some("[fd00::9]:80".parse().unwrap()),
        client: Some("fd00::5".parse().unwrap()),
        hop,
    };
    next(9).proxy_to(&target).unwrap();
    let v4 = Target { server: Some("10.0.0.9:81".parse().unwrap()), ..target };
    next(10).consult_by(&v4, Duration::from_millis(3)).unwrap();
    next(11).forward(&NextHop { vlans: None, ..hop }).unwrap();
    let said: Vec<_> = (0..11).map(|_| appliance.ordered()).collect();
    let expected = [
        action::DROP,
        action::REJECT,
        action::REJECT,
        action::BYPASS,
        action::MONITOR,
        action::PROXY,
        action::PROXY,
        action::ACCEPT,
        action::PROXY,
        action::PROXY,
        action::FORWARD,
    ];
    for ((index, order), expected) in said.iter().enumerate().zip(expected) {
        assert_eq!((order.id, order.action), (index as u64 + 1, expected));
    }
    assert_eq!((said[2].rejection, said[2].from, said[2].from_v4), (rejection::ICMP, from::V4, [1, 2, 3, 4]));
    assert_eq!((said[2].icmp4_type, said[2].icmp4_code), (3, 13));
    assert_eq!((said[5].consult_ms, said[6].consult_ms), (0, 1));
    let all = towards::SERVER | towards::CLIENT | towards::HOP;
    assert_eq!((said[8].towards, said[8].family, said[8].server_port), (all, 6, 80));
    assert_eq!((said[8].server[15], said[8].client[15], said[8].next_mac), (9, 5, [2; 6]));
    assert_eq!((said[8].outer_vlan, said[8].inner_vlan, said[8].next_port), (0, 7, 0));
    // An IPv6 address cannot take the place of an IPv4 client's.
    assert_eq!((said[9].towards, said[9].family, said[9].consult_ms), (all & !towards::CLIENT, 4, 3));
    assert_eq!(said[9].server[..5], [10, 0, 0, 9, 0]);
    assert_eq!(said[10].towards, towards::MAC | towards::PORT);
}

#[test]
fn answers_and_ends_wait_behind_an_accept() {
    let (mut listener, appliance) = greeted();
    let answer = Answer { outcome: outcome::ACCEPTED, options: option::MSS, mss: 1400, ..Answer::default() };
    appliance.say(&Offer { kind: kind::ANSWER, answer, ..offer(1) });
    appliance.say(&Gone { id: 2, why: wire::gone::OVERDUE, ..Gone::new() });
    appliance.say(&offer(3));
    assert_eq!(listener.accept().unwrap().id(), 3);
    assert!(listener.has_waiting());
    let Event::Answered(answered) = listener.next().unwrap() else { panic!("no answer") };
    assert_eq!((answered.outcome, answered.options.mss), (Outcome::Accepted, Some(1400)));
    answered.partial.drop_silently().unwrap();
    assert_eq!(appliance.ordered().id, 1);
    appliance.say(&Gone { id: 4, why: wire::gone::CLIENT, ..Gone::new() });
    let Event::Gone(gone) = listener.next().unwrap() else { panic!("not gone") };
    assert_eq!((gone.id, gone.why), (4, Why::Client));
}

#[test]
fn a_stream_comes_as_a_descriptor() {
    let (mut listener, appliance) = greeted();
    let (mut near, far) = UnixStream::pair().unwrap();
    let accepted = Accepted { id: 9, ..Accepted::new() };
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    let descriptors = [far.as_fd()];
    assert!(ancillary.push(SendAncillaryMessage::ScmRights(&descriptors)));
    let parts = [IoSlice::new(accepted.as_bytes())];
    sendmsg(&appliance.0, &parts, &mut ancillary, SendFlags::NOSIGNAL).unwrap();
    drop(far);
    let Event::Stream(mut stream) = listener.next().unwrap() else { panic!("no stream") };
    assert_eq!(stream.id(), 9);
    near.write_all(b"hello").unwrap();
    let mut bytes = [0; 5];
    stream.read_exact(&mut bytes).unwrap();
    assert_eq!(&bytes, b"hello");
    drop(stream);
    assert_eq!(near.read(&mut bytes).unwrap(), 0);
}

#[test]
fn what_an_appliance_cannot_mean_is_an_error() {
    let (ours, appliance) = pair();
    appliance.say(&Hello { version: VERSION + 1, ..hello() });
    assert_eq!(Listener::greet(ours).unwrap_err().kind(), ErrorKind::InvalidData);

    let (mut listener, appliance) = greeted();
    appliance.say(&Accepted::new());
    assert_eq!(listener.next().unwrap_err().kind(), ErrorKind::InvalidData, "a stream without descriptor");
    drop(appliance);
    assert_eq!(listener.next().unwrap_err().kind(), ErrorKind::UnexpectedEof);
}

#[test]
fn without_waiting_nothing_is_not_an_error_of_its_own() {
    let (mut listener, _appliance) = greeted();
    listener.set_nonblocking(true).unwrap();
    assert_eq!(listener.next().unwrap_err().kind(), ErrorKind::WouldBlock);
}

/// Sizes and places that C programs are compiled with.
/// The appliance takes nothing, and the socket is full: whoever cannot wait still has the connection.
#[test]
fn an_order_that_does_not_leave_is_not_lost() {
    let (mut listener, appliance) = greeted();
    appliance.say(&offer(1));
    let mut partial = listener.accept().unwrap();
    listener.set_nonblocking(true).unwrap();
    let mut id = 2;
    let unsent = loop {
        match partial.bypass() {
            Err(unsent) => break unsent,
            Ok(()) if id > 100_000 => panic!("a socket without end"),
            Ok(()) => {
                appliance.say(&offer(id));
                partial = listener.accept().unwrap();
                id += 1;
            }
        }
    };
    assert_eq!((unsent.error.kind(), unsent.partial.id()), (ErrorKind::WouldBlock, id - 1));
    assert_eq!(appliance.ordered().id, 1);
    unsent.partial.bypass().unwrap();
}

#[test]
fn structures_have_no_room_for_padding() {
    assert_eq!(size_of::<Hello>(), 24);
    assert_eq!(size_of::<Offer>(), 360);
    assert_eq!(size_of::<Gone>(), 24);
    assert_eq!(size_of::<Accepted>(), 16);
    assert_eq!(size_of::<Action>(), 96);
    assert_eq!(std::mem::offset_of!(Offer, server_past), 72);
    assert_eq!(std::mem::offset_of!(Offer, syn), 104);
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = FromAppliance::read(&bytes);
        let _ = FromProgram::read(&bytes);
    }

    /// With a kind and a length that fit, every other bit is anybody's.
    #[test]
    fn no_fields_panic(bytes in proptest::collection::vec(any::<u8>(), size_of::<Offer>())) {
        let offer = Offer { kind: kind::OFFER, length: size_of::<Offer>() as u32, ..read(&bytes) };
        let _ = FromAppliance::read(offer.as_bytes());
        let action = Action { kind: kind::ACTION, length: size_of::<Action>() as u32, ..read(&bytes) };
        if let Ok(FromProgram::Action(read)) = FromProgram::read(action.as_bytes()) {
            prop_assert_eq!(read, action);
            prop_assert!((action::DROP..=action::ACCEPT).contains(&read.action));
        }
    }
}

fn read<T: FromBytes>(bytes: &[u8]) -> T {
    T::read_from_prefix(bytes).unwrap().0
}
