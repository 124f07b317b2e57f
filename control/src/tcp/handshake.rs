//! Segments before the connection is open: the handshake order of DESIGN section 4.

use dataplane::buffer::Buffer;

use super::block::Block;
use super::congestion::Congestion;
use super::events::Events;
use super::input::{Arrival, Stop, Verdict};
use super::output::Reset;
use super::rto::INITIAL as INITIAL_RTO;
use super::segment::{Handshake, Segment};
use super::state::{State, Step};

impl<B: Buffer> Block<B> {
    /// Nobody was answered: only the client's SYN, again, and its RST mean anything.
    pub(super) fn arrive_suspended(&mut self, arrival: &mut Arrival<'_>) -> Verdict {
        let flags = arrival.segment.flags;
        if flags.rst() {
            return self.take_handshake_reset(arrival);
        }
        if flags.syn() && !flags.ack() {
            return self.take_repeated_syn(arrival);
        }
        self.crossed |= flags.syn() && arrival.segment.seq == self.irs;
        Verdict::Break(Stop::NotNow)
    }

    /// A SYN-ACK of the client's: it has got the server's own SYN, past us, and is in SYN-RECEIVED (RFC 9293 section 3.5,
    /// figure 7, line 5). With the right numbers it has heard of our SYN-ACK's, which is all that its ACK would say.
    pub(super) fn take_crossing_answer(&mut self, arrival: &mut Arrival<'_>) -> Verdict {
        let segment = arrival.segment;
        if segment.seq != self.irs || segment.ack != self.snd.nxt {
            return Verdict::Break(Stop::NotNow);
        }
        self.crossed = true;
        self.update_timestamp_of_syn(arrival);
        self.complete_handshake(arrival)?;
        // The window of a SYN is never scaled (RFC 7323 section 2.2).
        self.take_window(segment.seq, segment.ack, segment.window, u32::from(segment.window));
        Verdict::Break(Stop::SynAgain)
    }

    /// RFC 9293 section 3.10.7.3, except that what a transparent appliance must not decide is left to the caller.
    pub(super) fn arrive_syn_sent(&mut self, arrival: &mut Arrival<'_>) -> Verdict {
        let segment = arrival.segment;
        let flags = segment.flags;
        let ours = flags.ack() && segment.ack == self.snd.nxt;
        match (flags.rst(), flags.syn(), flags.ack()) {
            (true, _, _) if ours => {
                arrival.events |= self.finish(Events::REFUSED);
                Verdict::Break(Stop::Reset)
            }
            (true, _, _) => Verdict::Break(Stop::ResetIgnored),
            (false, true, true) if ours => {
                self.keep_answer(arrival);
                Verdict::Continue(())
            }
            (false, true, true) => {
                // First step: an answer to a SYN of former times.
                self.out.reset = Some(Reset { seq: segment.ack, ack: None });
                Verdict::Break(Stop::AckInvalid)
            }
            (false, true, false) => {
                arrival.events.insert(Events::NEW_SYN);
                Verdict::Break(Stop::NewSyn)
            }
            (false, false, true) => {
                arrival.events.insert(Events::BARE_ACK_TO_SYN);
                Verdict::Break(Stop::NotNow)
            }
            (false, false, false) => Verdict::Break(Stop::NoAck),
        }
    }

    /// The SYN-ACK is taken but not acknowledged: the server keeps it in its SYN queue until `confirm`.
    fn keep_answer(&mut self, arrival: &mut Arrival<'_>) {
        let segment = arrival.segment;
        self.set_irs(segment.seq);
        self.peer = Handshake::of(segment);
        self.negotiate();
        self.ts.start(arrival.now, segment.options.timestamps.filter(|_| self.timestamps));
        self.promise_window();
        self.snd.una = self.snd.nxt;
        // The window of a SYN is never scaled (RFC 7323 section 2.2).
        self.take_window(segment.seq, segment.ack, segment.window, u32::from(segment.window));
        self.measure_handshake(arrival);
        self.timers.retransmit = None;
        self.out.syn = false;
        self.state = State::Answered;
        arrival.events.insert(Events::ANSWERED);
    }

    /// The server may repeat its SYN-ACK or take it back; it has nothing else to say before our ACK.
    pub(super) fn arrive_answered(&mut self, arrival: &mut Arrival<'_>) -> Verdict {
        let segment = arrival.segment;
        if segment.flags.rst() {
            return self.take_handshake_reset(arrival);
        }
        let again = segment.flags.syn()
            && segment.flags.ack()
            && segment.seq == self.irs
            && segment.ack == self.snd.una;
        if again {
            self.update_timestamp_of_syn(arrival);
            arrival.events.insert(Events::ANSWERED_AGAIN);
            return Verdict::Break(Stop::SynAgain);
        }
        Verdict::Break(Stop::NotNow)
    }

    /// A SYN to a suspended or unvalidated client leg. One that repeats ours is answered, if it was, with as little as
    /// was answered before: a SYN that has lost options since gets no larger answer (DESIGN invariant 5), hence none.
    pub(super) fn take_repeated_syn(&mut self, arrival: &mut Arrival<'_>) -> Verdict {
        if arrival.segment.seq != self.irs {
            arrival.events.insert(Events::NEW_SYN);
            return Verdict::Break(Stop::NewSyn);
        }
        self.update_timestamp_of_syn(arrival);
        if self.state == State::SynReceived
            && self.offer.limited_to(&Handshake::of(arrival.segment)) == self.offer
        {
            self.out.syn = true;
        }
        arrival.events.insert(Events::SYN_AGAIN);
        Verdict::Break(Stop::SynAgain)
    }

    /// A repeated SYN has a later timestamp, and that one is to be echoed.
    fn update_timestamp_of_syn(&mut self, arrival: &Arrival<'_>) {
        let Segment { seq, options, .. } = arrival.segment;
        if let Some(ts) = options.timestamps
            && self.ts.value().is_some()
        {
            self.ts.update(arrival.now, ts, *seq, self.rcv.last_ack_sent);
        }
    }

    /// Before the handshake is complete a RST counts with the number after the SYN, and with no other.
    fn take_handshake_reset(&mut self, arrival: &mut Arrival<'_>) -> Verdict {
        if arrival.segment.seq != self.rcv.nxt {
            return Verdict::Break(Stop::ResetIgnored);
        }
        arrival.events |= self.finish(Events::RESET);
        Verdict::Break(Stop::Reset)
    }

    /// Fifth step in SYN-RECEIVED: the client has seen our SYN-ACK, so it is where it says it is.
    pub(super) fn complete_handshake(&mut self, arrival: &mut Arrival<'_>) -> Verdict {
        if arrival.segment.ack != self.snd.nxt {
            self.out.reset = Some(Reset { seq: arrival.segment.ack, ack: None });
            return Verdict::Break(Stop::AckInvalid);
        }
        self.snd.una = self.snd.nxt;
        self.measure_handshake(arrival);
        self.out.syn = false;
        self.timers.progress = arrival.now;
        self.state = State::Established;
        // Who answers our SYN-ACK from SYN-RECEIVED, because SYNs have crossed, waits there for an acknowledgment.
        self.out.ack_now |= self.crossed;
        if self.snd.fin_queued {
            self.state = self.state.next(Step::Close);
        }
        arrival.events.insert(Events::ESTABLISHED);
        Verdict::Continue(())
    }

    fn measure_handshake(&mut self, arrival: &Arrival<'_>) {
        if let Some(at) = self.snd.syn_at.take() {
            let rtt = arrival.now.since(at);
            // Nobody waits longer than this before the SYN is sent again: it was lost on its way or back.
            if rtt <= INITIAL_RTO {
                self.rto.sample(rtt);
                self.snd.recovery.start_rtt(arrival.now, rtt);
            }
        }
        // RFC 5681 section 3.1, and once is forgiven as in Linux (RFC 6928 section 2).
        if self.rto.expirations() > 1 {
            self.congestion.set_window(self.segment_size());
        }
        self.rto.handshake_done();
    }
}
