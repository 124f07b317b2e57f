//! The quoted segment inside an ICMP error, moved back into the space of the sender that the error is for.
//!
//! The error comes back from beyond the appliance, so it quotes numbers of the far leg; its addressee knows only its
//! own. What the quotation holds of sequence, acknowledgment and TCP checksum is kept consistent.

use crate::packet::IcmpError;
use crate::wire::checksum::Update;
use crate::wire::icmp::update_checksum;
use crate::wire::seq::Seq;
use crate::wire::tcp::{HEADER_LEN, TcpHeader};
use crate::wire::tcp_options::edit_timestamps;

use super::delta::Deltas;
use super::reconcile::Clocks;

/// Offsets in the quoted TCP header, bytes.
const SEQ: usize = 4;
const ACK: usize = 8;
const FLAGS: usize = 13;
const ACK_FLAG: u8 = 0x10;
const CHECKSUM: usize = 16;

/// Undoes in the quotation what `deltas` (those of the quoted segment's direction) did to the segment.
///
/// A quotation may end anywhere behind the sequence number (RFC 792 asks for 8 bytes). One that ends between the
/// acknowledgment and the flags keeps its acknowledgment: nobody can say whether it is one. So do SACK edges, which no
/// sender looks up.
pub fn restore_quoted(frame: &mut [u8], error: &IcmpError, deltas: Deltas) {
    let Some(message) = frame.get_mut(usize::from(error.l4)..usize::from(error.end)) else { return };
    let Some(tcp) = message.get_mut(usize::from(error.quoted_l4 - error.l4)..) else { return };
    // The quoted header stands at an even offset of the message, for all headers before it have even lengths: what an
    // edit does to the segment's checksum it does to the message's.
    let mut edits = Update::NONE;
    edit(tcp, SEQ, &mut edits, |seq| seq.minus(deltas.own));
    if tcp.get(FLAGS).is_some_and(|flags| flags & ACK_FLAG != 0) {
        edit(tcp, ACK, &mut edits, |ack| ack.plus(deltas.other));
    }
    let mut whole = edits;
    if let Some(field) = tcp.get_mut(CHECKSUM..).and_then(|rest| rest.first_chunk_mut::<2>()) {
        let old = u16::from_be_bytes(*field);
        let new = edits.apply(old);
        *field = new.to_be_bytes();
        whole.word16(old, new);
    }
    update_checksum(message, whole);
}

/// Undoes in the quotation what `clocks` (those of the quoted segment's direction) did to the segment's timestamps, when
/// all of its header is there. Window and SACK blocks cannot be told back, and no sender looks them up.
pub fn restore_quoted_clocks(frame: &mut [u8], error: &IcmpError, clocks: Clocks) {
    let Some(message) = frame.get_mut(usize::from(error.l4)..usize::from(error.end)) else { return };
    let Some(tcp) = message.get_mut(usize::from(error.quoted_l4 - error.l4)..) else { return };
    let Some(header) = TcpHeader::view(tcp) else { return };
    let (header_len, has_ack) = (header.header_len(), header.flags().ack());
    let Some(options) = tcp.get_mut(HEADER_LEN..header_len) else { return };
    let mut edits = Update::NONE;
    edit_timestamps(options, &mut edits, |ts| clocks.moved_back(ts, has_ack));
    let mut whole = edits;
    if let Some(header) = TcpHeader::view_mut(tcp) {
        let old = header.checksum.get();
        header.update_checksum(edits);
        whole.word16(old, header.checksum.get());
    }
    update_checksum(message, whole);
}

fn edit(tcp: &mut [u8], offset: usize, edits: &mut Update, change: impl FnOnce(Seq) -> Seq) {
    let Some(field) = tcp.get_mut(offset..).and_then(|rest| rest.first_chunk_mut::<4>()) else { return };
    let old = u32::from_be_bytes(*field);
    let new = change(Seq(old)).0;
    *field = new.to_be_bytes();
    edits.word32(old, new);
}

#[cfg(test)]
mod tests;
