//! Questions of the management thread that only the workers can answer: the flow table, page by page.

use std::collections::BTreeSet;

use crossbeam::channel::Sender;

use dataplane::flow::object::Record;
use dataplane::worker::message::{ListedFlow, Listing};

use super::change::Change;
use super::handover::{Answer, HandOver, Named, Refused, only};
use super::journal::Entry;

/// What can be asked.
pub enum Query {
    /// All flows of all workers.
    Flows {
        /// The most flows to be answered.
        limit: usize,
        /// Where the answer goes. The asker may have given up.
        answer: Sender<Vec<ListedFlow>>,
    },
    /// The modules that flows of any path refer to, by index.
    Modules {
        /// Where the answer goes. The asker may have given up.
        answer: Sender<BTreeSet<u16>>,
    },
    /// One flow is to take another path.
    HandOver {
        /// Which.
        what: HandOver,
        /// Of which flow.
        flow: Named,
        /// Where the answer goes, once the flow has changed hands or not.
        answer: Answer,
    },
    /// What has happened to flows lately.
    Events {
        /// The most entries to be answered, the last ones.
        limit: usize,
        /// Where the answer goes. The asker may have given up.
        answer: Sender<Vec<Entry>>,
    },
    /// Whether flows may be merged from now on.
    Merging {
        /// They may.
        on: bool,
        /// Where the answer goes. The asker may have given up.
        answer: Sender<()>,
    },
    /// Other rules and modules from now on.
    Change(Change),
}

/// A question about all flows.
pub(super) enum Wanted {
    /// The first so many of them.
    Flows(usize, Vec<ListedFlow>, Sender<Vec<ListedFlow>>),
    /// Which modules they refer to.
    Modules(BTreeSet<u16>, Sender<BTreeSet<u16>>),
    /// Those that may be meant, by worker: one of them is to be handed over.
    Flow(Named, Vec<(usize, ListedFlow)>, HandOver, Answer),
}

/// What is to be done about a page.
pub enum Next {
    /// Nothing; somebody may have got an answer.
    Nothing,
    /// The same worker has more: it is to be asked for the next page.
    Page(Box<Listing>),
    /// All workers have said all: this flow is to be handed over.
    HandOver(HandOver, Result<(usize, ListedFlow), Refused>, Answer),
}

impl Wanted {
    fn take(&mut self, worker: usize, listing: &mut Listing) {
        match self {
            Wanted::Flows(limit, flows, _) => {
                let room = *limit - flows.len();
                flows.extend(listing.flows.drain(..).take(room));
            }
            Wanted::Modules(modules, _) => {
                let named = listing.flows.drain(..).map(|flow| flow.record.module);
                modules.extend(named.filter(|module| *module != Record::NO_MODULE));
            }
            Wanted::Flow(named, flows, ..) => {
                let named = listing.flows.drain(..).filter(|flow| named.is(&flow.key));
                // Two are as good as more: nobody knows which is meant.
                flows.extend(named.map(|flow| (worker, flow)).take(2usize.saturating_sub(flows.len())));
            }
        }
    }

    fn is_complete(&self) -> bool {
        matches!(self, Wanted::Flows(limit, flows, _) if flows.len() >= *limit)
    }

    /// The asker may have stopped waiting; then nobody needs the answer.
    fn answer(self) -> Next {
        match self {
            Wanted::Flows(_, flows, answer) => drop(answer.send(flows)),
            Wanted::Modules(modules, answer) => drop(answer.send(modules)),
            Wanted::Flow(named, flows, what, answer) => {
                return Next::HandOver(what, only(&flows, &named), answer);
            }
        }
        Next::Nothing
    }
}

struct Question {
    number: u64,
    workers_left: usize,
    wanted: Wanted,
}

/// Questions under way.
#[derive(Default)]
pub struct Questions {
    next: u64,
    open: Vec<Question>,
}

impl Questions {
    /// The first page to ask of each worker.
    pub(super) fn ask(&mut self, wanted: Wanted, workers: usize) -> Vec<(usize, Box<Listing>)> {
        self.next += 1;
        let number = self.next;
        let only = match &wanted {
            Wanted::Flow(named, ..) => Some(named.quad),
            _ => None,
        };
        self.open.push(Question { number, workers_left: workers, wanted });
        let page = || Box::new(Listing { question: number, cursor: None, only, flows: Default::default() });
        (0..workers).map(|worker| (worker, page())).collect()
    }

    /// Takes a page in. Returns it emptied when the same worker has more.
    pub fn on_listing(&mut self, worker: usize, mut listing: Box<Listing>) -> Next {
        let Some(at) = self.open.iter().position(|question| question.number == listing.question) else {
            return Next::Nothing;
        };
        let question = &mut self.open[at];
        question.wanted.take(worker, &mut listing);
        listing.flows.clear();
        if listing.cursor.is_some() && !question.wanted.is_complete() {
            return Next::Page(listing);
        }
        question.workers_left -= 1;
        match question.workers_left {
            0 => self.open.swap_remove(at).wanted.answer(),
            _ => Next::Nothing,
        }
    }
}

#[cfg(test)]
mod tests {
    use dataplane::flow::object::Path;
    use dataplane::flow::quad::{FlowKey, Quad, Segment};
    use dataplane::flow::table::FlowRef;
    use dataplane::wire::seq::Delta;

    use super::*;

    #[test]
    fn an_answer_comes_when_every_worker_has_said_all() {
        let mut questions = Questions::default();
        let (answer, answered) = crossbeam::channel::bounded(1);
        let mut pages = questions.ask(Wanted::Flows(10, Vec::new(), answer), 2);
        let (_, second) = pages.pop().unwrap();
        let (_, mut first) = pages.pop().unwrap();
        first.cursor = Some(9);
        let Next::Page(again) = questions.on_listing(0, first) else { panic!("there is more") };
        assert_eq!(again.cursor, Some(9), "goes on where it was");
        assert!(matches!(questions.on_listing(1, second), Next::Nothing));
        assert!(answered.try_recv().is_err());
        let last = Box::new(Listing { cursor: None, ..*again });
        assert!(matches!(questions.on_listing(0, last), Next::Nothing));
        assert!(answered.try_recv().unwrap().is_empty());
    }

    /// The same quad on two VLANs, one of them on two pairs: whoever names a place is understood.
    #[test]
    fn a_flow_is_chosen_by_where_it_lives() {
        let ends = ["10.0.0.1:1", "10.0.0.2:2"].map(|end| end.parse().expect("an address"));
        let quad = Quad::between(ends[0], ends[1]).expect("of one family");
        let named = |pair, vlans| Named { quad, pair, vlans };
        let cases = [
            (named(None, None), Err(Refused::Ambiguous)),
            (named(Some(0), None), Err(Refused::Ambiguous)),
            (named(None, Some((0, 0))), Ok(0)),
            (named(None, Some((100, 7))), Err(Refused::Ambiguous)),
            (named(Some(1), Some((100, 7))), Ok(2)),
            (named(Some(1), None), Ok(2)),
            (named(Some(2), None), Err(Refused::Unknown)),
        ];
        for (named, expected) in cases {
            let mut questions = Questions::default();
            let (answer, _) = crossbeam::channel::bounded(1);
            let mut pages = questions.ask(Wanted::Flow(named, Vec::new(), HandOver::Merge, answer), 1);
            let (_, mut page) = pages.pop().expect("one worker");
            for (slot, segment) in [(0, (0, 0, 0)), (1, (0, 100, 7)), (2, (1, 100, 7))] {
                let (pair, outer, inner) = segment;
                page.flows.push(listed(slot, FlowKey { quad, segment: Segment::new(pair, outer, inner) }));
            }
            let Next::HandOver(_, found, _) = questions.on_listing(0, page) else { panic!("all is said") };
            assert_eq!(found.map(|(_, flow)| flow.flow.slot), expected, "{named:?}");
        }
    }

    fn listed(slot: u32, key: FlowKey) -> ListedFlow {
        ListedFlow {
            flow: FlowRef { slot, generation: 0 },
            key,
            path: Path::CutThrough,
            delta_c2s: Delta(0),
            delta_s2c: Delta(0),
            far: None,
            traffic: Default::default(),
            record: Record::default(),
        }
    }
}
