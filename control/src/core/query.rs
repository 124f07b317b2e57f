//! Questions of the management thread that only the workers can answer: the flow table, page by page.

use crossbeam::channel::Sender;

use dataplane::worker::message::{ListedFlow, Listing};

/// What can be asked.
pub enum Query {
    /// All flows of all workers.
    Flows {
        /// The most flows to be answered.
        limit: usize,
        /// Where the answer goes. The asker may have given up.
        answer: Sender<Vec<ListedFlow>>,
    },
}

struct Question {
    number: u64,
    workers_left: usize,
    limit: usize,
    flows: Vec<ListedFlow>,
    answer: Sender<Vec<ListedFlow>>,
}

/// Questions under way.
#[derive(Default)]
pub struct Questions {
    next: u64,
    open: Vec<Question>,
}

impl Questions {
    /// The first page to ask of each worker.
    pub fn ask(&mut self, query: Query, workers: usize) -> Vec<(usize, Box<Listing>)> {
        let Query::Flows { limit, answer } = query;
        self.next += 1;
        let number = self.next;
        self.open.push(Question { number, workers_left: workers, limit, flows: Vec::new(), answer });
        let page = || Box::new(Listing { question: number, cursor: None, flows: Default::default() });
        (0..workers).map(|worker| (worker, page())).collect()
    }

    /// Takes a page in. Returns it emptied when the same worker has more.
    pub fn on_listing(&mut self, mut listing: Box<Listing>) -> Option<Box<Listing>> {
        let at = self.open.iter().position(|question| question.number == listing.question)?;
        let question = &mut self.open[at];
        let room = question.limit - question.flows.len();
        question.flows.extend(listing.flows.drain(..).take(room));
        if listing.cursor.is_some() && question.flows.len() < question.limit {
            return Some(listing);
        }
        question.workers_left -= 1;
        if question.workers_left == 0 {
            let question = self.open.swap_remove(at);
            // The asker may have stopped waiting; then nobody needs the answer.
            let _ = question.answer.send(question.flows);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_comes_when_every_worker_has_said_all() {
        let mut questions = Questions::default();
        let (answer, answered) = crossbeam::channel::bounded(1);
        let mut pages = questions.ask(Query::Flows { limit: 10, answer }, 2);
        let (_, second) = pages.pop().unwrap();
        let (_, mut first) = pages.pop().unwrap();
        first.cursor = Some(9);
        let again = questions.on_listing(first).expect("there is more");
        assert_eq!(again.cursor, Some(9), "goes on where it was");
        assert!(questions.on_listing(second).is_none());
        assert!(answered.try_recv().is_err());
        let last = Box::new(Listing { cursor: None, ..*again });
        assert!(questions.on_listing(last).is_none());
        assert!(answered.try_recv().unwrap().is_empty());
    }
}
