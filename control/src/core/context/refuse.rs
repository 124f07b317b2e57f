//! What the client of a refused connection hears: our own answer, or the network's as if it were about the client's SYN.

use dataplane::buffer::{Buffer, Pool};
use dataplane::counters::Counter;
use dataplane::packet::{IcmpError, TcpHeaders};
use dataplane::port::PortId;
use dataplane::refusal::{self, Rejection};
use dataplane::wire::icmp_error;
use dataplane::wire::ipv6;
use dataplane::wire::vlan::MAX_LINK_LEN;

use super::Context;

/// Bytes of the longest headers in front of what an error quotes.
const ERROR_HEADERS: usize = MAX_LINK_LEN + ipv6::HEADER_LEN + dataplane::wire::icmp::HEADER_LEN;

impl<L: Pool> Context<'_, L> {
    /// Refuses the SYN `frame` that came in by `port`, of which `headers` were read: RST, or an ICMP error about it (seed
    /// 000). Counts the SYN as `drop_module`, or under the name of what stood in the way of an answer; then there is
    /// silence, and the client's next SYN asks again.
    pub fn refuse(&mut self, port: PortId, frame: &[u8], headers: &TcpHeaders, rejection: &Rejection) {
        if self.answer_with(port, frame, headers, rejection) {
            self.counters.count(Counter::DropModule);
        }
    }

    /// The same about a SYN that is not refused by us. Whether it was answered; what stood in the way is counted.
    pub fn answer_with(
        &mut self,
        port: PortId,
        frame: &[u8],
        headers: &TcpHeaders,
        rejection: &Rejection,
    ) -> bool {
        if !self.can_transmit() {
            self.counters.count(Counter::DropOrdersFull);
            return false;
        }
        if matches!(rejection, Rejection::Icmp(_)) && !self.may_make_error() {
            self.counters.count(Counter::DropIcmpLimit);
            return false;
        }
        let datagram = frame.get(..usize::from(headers.end)).unwrap_or(frame);
        let Some(mut answer) = self.copy_of(datagram) else { return false };
        if refusal::refuse(&mut answer, headers, rejection).is_some() {
            self.forward(port, answer);
        }
        true
    }

    /// The ICMP error `frame`, about a SYN of ours, as the client would have got it about its own SYN `syn`: to be sent
    /// to the client instead of it ([`icmp_error::requote`]). `None`, and counted, without a buffer.
    ///
    /// One that comes in makes one that goes out, and its quotation has been compared with what we have sent: the rate of
    /// errors does not count here.
    pub fn requote(
        &mut self,
        frame: &[u8],
        error: &IcmpError,
        syn: &[u8],
        syn_headers: &TcpHeaders,
    ) -> Option<L::Buffer> {
        let room = ERROR_HEADERS + usize::from(syn_headers.end - syn_headers.l3);
        let Some(mut requoted) = self.pool.take() else {
            self.counters.count(Counter::BuffersExhausted);
            return None;
        };
        let len = icmp_error::requote(frame, error, syn, syn_headers, requoted.extend(room)?)?;
        requoted.truncate(len);
        Some(requoted)
    }

    /// The rate is one for each worker whose flows this control core has, and that worker's own one beside it.
    fn may_make_error(&mut self) -> bool {
        self.outbox.errors.take(self.now, self.settings.icmp_errors)
    }

    fn copy_of(&mut self, frame: &[u8]) -> Option<L::Buffer> {
        let copy = self.pool.take().and_then(|mut copy| {
            copy.extend(frame.len())?.copy_from_slice(frame);
            Some(copy)
        });
        if copy.is_none() {
            self.counters.count(Counter::BuffersExhausted);
        }
        copy
    }
}

#[cfg(test)]
mod tests;
