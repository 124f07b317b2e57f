//! What always holds inside a block, between any two calls: for tests, simulation and fuzzing to assert.

use dataplane::buffer::Buffer;

use super::block::Block;
use super::state::State;

/// The first thing that does not hold.
type Verdict = Result<(), String>;

fn holds(truth: bool, what: impl FnOnce() -> String) -> Verdict {
    if truth { Ok(()) } else { Err(what()) }
}

impl<B: Buffer> Block<B> {
    /// Whether the numbers, queues and limits of this block agree. Call it once `poll` has returned `None`.
    #[doc(hidden)]
    pub fn check(&self) -> Result<(), String> {
        if self.state == State::Closed {
            return self.check_closed();
        }
        self.check_sender()?;
        self.check_receiver()?;
        self.check_timer()
    }

    fn check_closed(&self) -> Verdict {
        holds(self.deadline().is_none(), || format!("closed, and still has a timer: {:?}", self.deadline()))?;
        holds(self.snd.queue.len() == 0 && self.rcv.reassembly.is_empty(), || {
            format!("closed, and keeps {} bytes to send", self.snd.queue.len())
        })
    }

    fn check_sender(&self) -> Verdict {
        let snd = &self.snd;
        holds(snd.una.le(snd.nxt), || format!("SND.UNA {:?} is beyond SND.NXT {:?}", snd.una, snd.nxt))?;
        holds(snd.edge.le(snd.max_edge), || format!("{:?} is beyond the highest edge", snd.edge))?;
        if matches!(self.state, State::Suspended) {
            return Ok(());
        }
        let last = snd.queue.end().advance(u32::from(snd.fin_sent)).max(self.iss.advance(1));
        holds(snd.nxt.le(last), || format!("SND.NXT {:?} is beyond what there is: {last:?}", snd.nxt))?;
        let first = snd.una.max(self.iss.advance(1)).min(snd.queue.end());
        holds(snd.queue.start() == first, || {
            format!("the send queue starts at {:?}, SND.UNA is {:?}", snd.queue.start(), snd.una)
        })
    }

    fn check_receiver(&self) -> Verdict {
        let rcv = &self.rcv;
        if matches!(self.state, State::SynSent) {
            return Ok(());
        }
        holds(rcv.nxt.le(rcv.edge), || format!("RCV.NXT {:?} is beyond the window {:?}", rcv.nxt, rcv.edge))?;
        let taken = rcv.queue.end().advance(u32::from(rcv.fin_taken));
        holds(taken == rcv.nxt, || format!("the queue ends at {taken:?}, RCV.NXT is {:?}", rcv.nxt))?;
        let edge_ok = rcv.reassembly.end().is_none_or(|end| end.le(rcv.edge));
        holds(edge_ok, || "what is kept out of order lies beyond the window".into())
    }

    /// What is outstanding will be sent again some day: without a timer, nobody would ever find out that it is lost. While
    /// the block follows, somebody else repeats what has to be acknowledged first.
    fn check_timer(&self) -> Verdict {
        let waits = self.state.sends_data() && self.snd.una != self.snd.nxt && !self.follows();
        holds(!waits || self.deadline().is_some(), || {
            format!("{:?}..{:?} is outstanding, and no timer runs", self.snd.una, self.snd.nxt)
        })?;
        let lingers = self.state == State::TimeWait && !self.withholds();
        holds(!lingers || self.timers.linger.is_some(), || "in TIME-WAIT, and no timer ends it".into())
    }
}
