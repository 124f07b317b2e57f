//! One-way, lock-free, bounded mailboxes between threads.
//!
//! `crossbeam`'s `ArrayQueue` carries them; neither end can be cloned, so each has one producer and one consumer.

use std::sync::Arc;

use crossbeam::queue::ArrayQueue;
use crossbeam::utils::CachePadded;

/// The producing end.
pub struct Sender<T>(Arc<CachePadded<ArrayQueue<T>>>);

/// The consuming end.
pub struct Receiver<T>(Arc<CachePadded<ArrayQueue<T>>>);

/// A mailbox for at most `capacity` messages (at least 1), allocated now.
pub fn mailbox<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    let queue = Arc::new(CachePadded::new(ArrayQueue::new(capacity)));
    (Sender(Arc::clone(&queue)), Receiver(queue))
}

impl<T> Sender<T> {
    /// Puts `message` in, or gives it back when the mailbox is full.
    pub fn try_send(&mut self, message: T) -> Result<(), T> {
        self.0.push(message)
    }

    /// Messages that certainly fit: only this end fills the mailbox.
    pub fn free(&self) -> usize {
        self.0.capacity() - self.0.len()
    }
}

impl<T> Receiver<T> {
    /// Takes the oldest message.
    pub fn try_receive(&mut self) -> Option<T> {
        self.0.pop()
    }

    /// Messages waiting.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounded_and_in_order() {
        let (mut sender, mut receiver) = mailbox(2);
        assert_eq!(sender.free(), 2);
        assert_eq!((sender.try_send(1), sender.try_send(2), sender.try_send(3)), (Ok(()), Ok(()), Err(3)));
        assert_eq!((receiver.try_receive(), receiver.len()), (Some(1), 1));
        assert_eq!(sender.try_send(4), Ok(()));
        assert_eq!(
            (receiver.try_receive(), receiver.try_receive(), receiver.try_receive()),
            (Some(2), Some(4), None)
        );
    }

    #[test]
    fn order_holds_across_threads() {
        let (mut sender, mut receiver) = mailbox(8);
        let producer = std::thread::spawn(move || {
            for n in 0..10_000 {
                let mut message = n;
                while let Err(back) = sender.try_send(message) {
                    message = back;
                    std::thread::yield_now();
                }
            }
        });
        let mut expected = 0;
        while expected < 10_000 {
            match receiver.try_receive() {
                Some(n) => {
                    assert_eq!(n, expected);
                    expected += 1;
                }
                None => std::thread::yield_now(),
            }
        }
        producer.join().unwrap();
    }
}
