//! One-way, lock-free, bounded mailboxes between threads.
//!
//! `rtrb` carries them: a ring for one producer and one consumer, each of which writes a line of its own, with plain stores, and
//! looks at the other's only when what it knows of it is used up. A queue for several of either pays an atomic exchange at
//! each end of every message.
//!
//! A message is written where it waits, and taken from there. One that is put together elsewhere, in single fields, and then
//! copied in whole words makes the processor wait until each of its fields has been stored: that costs more than the copy.

use std::mem::MaybeUninit;

use rtrb::{Consumer, Producer, RingBuffer};

/// The producing end.
pub struct Sender<T> {
    queue: Producer<Option<T>>,
    /// Messages that fit for certain: only this end fills the mailbox.
    room: usize,
}

/// The consuming end.
pub struct Receiver<T>(Consumer<Option<T>>);

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
    #[inline(always)]
    pub fn try_send(&mut self, message: T) -> Result<(), T> {
        self.try_send_leaving(0, message)
    }

    /// Puts `message` in if `reserve` places stay free behind it, or gives it back.
    #[inline(always)]
    pub fn try_send_leaving(&mut self, reserve: usize, message: T) -> Result<(), T> {
        if !self.has_room_beside(reserve) {
            return Err(message);
        }
        self.send(message);
        Ok(())
    }

    /// Puts `message` in. There has to be room: see [`Sender::has_room_beside`].
    #[inline(always)]
    pub fn send(&mut self, message: T) {
        self.room = self.room.checked_sub(1).expect("a message that there is room for");
        let sent = self.queue.push(Some(message));
        debug_assert!(sent.is_ok(), "only this end fills the mailbox");
        // So nothing has come back that would have to be dropped.
        std::mem::forget(sent);
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
        self.0.pop().ok().flatten()
    }

    /// Shows the oldest messages to `take`, so many at most, each in its place, from where it takes it. Their places are
    /// free when it has seen them all. Returns how many there were.
    #[inline]
    pub fn receive_each(&mut self, most: usize, take: impl FnMut(&mut Option<T>)) -> usize {
        let waiting = self.0.slots().min(most);
        let Ok(mut places) = self.0.read_chunk(waiting) else { return 0 };
        let (first, rest) = places.as_mut_slices();
        first.iter_mut().chain(rest).for_each(take);
        places.commit_all();
        waiting
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
    use std::sync::Arc;

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
    fn messages_are_taken_where_they_are_and_those_left_are_dropped() {
        let (mut sender, mut receiver) = mailbox(4);
        let message = Arc::new(());
        for turn in 0..5 {
            (0..3).for_each(|_| assert!(sender.try_send(Arc::clone(&message)).is_ok()));
            let mut taken = Vec::new();
            assert_eq!(receiver.receive_each(2, |place| taken.extend(place.take())), 2, "in turn {turn}");
            assert_eq!((taken.len(), sender.free()), (2, 3));
            assert_eq!(receiver.receive_each(2, |_| ()), 1);
            assert_eq!((receiver.receive_each(2, |_| ()), sender.free()), (0, 4));
        }
        assert_eq!(Arc::strong_count(&message), 1);
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
