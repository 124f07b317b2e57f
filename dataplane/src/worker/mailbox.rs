//! One-way, lock-free, bounded mailboxes between threads.
//!
//! `rtrb` carries them: a ring for one producer and one consumer, each of which writes a line of its own, with plain stores, and
//! looks at the other's only when what it knows of it is used up. A queue for several of either pays an atomic exchange at
//! each end of every message.

use std::mem::MaybeUninit;

use rtrb::{Consumer, Producer, PushError, RingBuffer};

/// The producing end.
pub struct Sender<T> {
    queue: Producer<T>,
    /// Messages that fit for certain: only this end fills the mailbox.
    room: usize,
}

/// The consuming end.
pub struct Receiver<T>(Consumer<T>);

/// A mailbox for at most `capacity` messages (at least 1), allocated now.
pub fn mailbox<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    assert!(capacity > 0, "a mailbox without room");
    let (mut queue, receiver) = RingBuffer::new(capacity);
    // Written to once: memory that has only been asked for is taken page by page when messages come.
    if let Ok(mut places) = queue.write_chunk_uninit(capacity) {
        let (all, none) = places.as_mut_slices();
        all.iter_mut().chain(none).for_each(|place| *place = MaybeUninit::zeroed());
    }
    (Sender { queue, room: capacity }, Receiver(receiver))
}

impl<T> Sender<T> {
    /// Puts `message` in, or gives it back when the mailbox is full.
    #[inline]
    pub fn try_send(&mut self, message: T) -> Result<(), T> {
        self.try_send_leaving(0, message)
    }

    /// Puts `message` in if `reserve` places stay free behind it, or gives it back.
    #[inline]
    pub fn try_send_leaving(&mut self, reserve: usize, message: T) -> Result<(), T> {
        if !self.has_room_beside(reserve) {
            return Err(message);
        }
        self.room -= 1;
        self.queue.push(message).map_err(|PushError::Full(message)| message)
    }

    /// Whether a message would leave `reserve` places free.
    #[inline]
    pub fn has_room_beside(&mut self, reserve: usize) -> bool {
        self.room > reserve || self.free() > reserve
    }

    /// Messages that certainly fit. Asks the other end: not for every message.
    pub fn free(&mut self) -> usize {
        self.room = self.queue.slots();
        self.room
    }
}

impl<T> Receiver<T> {
    /// Takes the oldest message.
    #[inline]
    pub fn try_receive(&mut self) -> Option<T> {
        self.0.pop().ok()
    }

    /// Messages waiting.
    pub fn len(&self) -> usize {
        self.0.slots()
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
        assert_eq!((sender.try_send_leaving(1, 4), sender.try_send(4)), (Err(4), Ok(())));
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
