//! A module that changes the length of what it sees, so that the model can tell what it has done from the bytes alone: what
//! it puts in no program writes, and what it leaves out may be missing.

use std::iter::{once, repeat_n};

use control::module::{Decision, Edit, Isn, Module, PartialConnection, Proxying, Session, Step};
use dataplane::flow::quad::{Direction, FlowKey};

/// No program writes a byte from here on.
const INSERTED: u8 = 0x80;
/// Left out by whoever sees it.
pub const OPTIONAL: u8 = 0x7f;
/// Behind this one something is inserted.
const DOUBLED: u8 = 0x11;

/// What both ends would agree on that a stream was, whatever part of it the module has seen.
pub fn is_essential(byte: u8) -> bool {
    byte < OPTIONAL
}

pub struct Scribe;

struct Reading;

impl Module for Scribe {
    fn offered(&mut self, _: &PartialConnection<'_>) -> Decision {
        Decision::Proxy(Proxying { isn: Isn::Keyed, ..Proxying::default() })
    }

    fn session(&mut self, _: &FlowKey) -> Box<dyn Session> {
        Box::new(Reading)
    }
}

impl Session for Reading {
    fn established(&mut self) -> Step {
        Step::Merge
    }

    fn data(&mut self, _: Direction, bytes: &[u8]) -> (Edit, Step) {
        let kept = bytes.iter().filter(|byte| **byte != OPTIONAL);
        let more = |byte: u8| if byte == DOUBLED { 1 + usize::from(byte % 3) } else { 0 };
        let edited =
            kept.flat_map(|byte| once(*byte).chain(repeat_n(INSERTED | byte, more(*byte)))).collect();
        (Edit::Replace(edited), Step::Relay)
    }
}
