//! A list of which the first element stands in place: the queues of most flows hold one at a time at most, and take no memory
//! for it but their own.

use std::collections::VecDeque;
use std::ops::Range;
use std::slice;

/// A list of more places than this gives its memory back once nothing is in it.
pub(super) const PLACES: usize = 16;

/// The list. What was given memory keeps it until [`Few::give_back`]: one that is filled and emptied all the time does not
/// ask for it again.
#[derive(Debug)]
pub(super) enum Few<T> {
    /// One, or none.
    One(Option<T>),
    /// Any number.
    Many(VecDeque<T>),
}

impl<T> Default for Few<T> {
    fn default() -> Self {
        Few::One(None)
    }
}

impl<T> Few<T> {
    /// Both halves, in order.
    fn slices(&self) -> (&[T], &[T]) {
        match self {
            Few::One(one) => (one.as_slice(), &[]),
            Few::Many(many) => many.as_slices(),
        }
    }

    fn slices_mut(&mut self) -> (&mut [T], &mut [T]) {
        match self {
            Few::One(one) => (one.as_mut_slice(), &mut []),
            Few::Many(many) => many.as_mut_slices(),
        }
    }

    /// As a list that takes any number.
    pub(super) fn many(&mut self) -> &mut VecDeque<T> {
        if let Few::One(one) = self {
            *self = Few::Many(one.take().into_iter().collect());
        }
        match self {
            Few::Many(many) => many,
            Few::One(_) => unreachable!("it has just been made one of many"),
        }
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Few::One(one) => usize::from(one.is_some()),
            Few::Many(many) => many.len(),
        }
    }

    pub(super) fn front(&self) -> Option<&T> {
        match self {
            Few::One(one) => one.as_ref(),
            Few::Many(many) => many.front(),
        }
    }

    pub(super) fn front_mut(&mut self) -> Option<&mut T> {
        match self {
            Few::One(one) => one.as_mut(),
            Few::Many(many) => many.front_mut(),
        }
    }

    pub(super) fn back(&self) -> Option<&T> {
        match self {
            Few::One(one) => one.as_ref(),
            Few::Many(many) => many.back(),
        }
    }

    pub(super) fn back_mut(&mut self) -> Option<&mut T> {
        match self {
            Few::One(one) => one.as_mut(),
            Few::Many(many) => many.back_mut(),
        }
    }

    pub(super) fn get(&self, index: usize) -> Option<&T> {
        let (first, rest) = self.slices();
        first.get(index).or_else(|| rest.get(index - first.len()))
    }

    pub(super) fn push_back(&mut self, element: T) {
        match self {
            Few::One(one @ None) => *one = Some(element),
            _ => self.many().push_back(element),
        }
    }

    pub(super) fn pop_front(&mut self) -> Option<T> {
        match self {
            Few::One(one) => one.take(),
            Few::Many(many) => many.pop_front(),
        }
    }

    /// In order.
    pub(super) fn iter(&self) -> std::iter::Chain<slice::Iter<'_, T>, slice::Iter<'_, T>> {
        let (first, rest) = self.slices();
        first.iter().chain(rest)
    }

    /// The same, to be changed.
    pub(super) fn iter_mut(&mut self) -> std::iter::Chain<slice::IterMut<'_, T>, slice::IterMut<'_, T>> {
        let (first, rest) = self.slices_mut();
        first.iter_mut().chain(rest)
    }

    /// Those at `range`, to be changed.
    pub(super) fn range_mut(&mut self, range: Range<usize>) -> impl Iterator<Item = &mut T> {
        self.iter_mut().skip(range.start).take(range.len())
    }

    /// How many there are for which `is_before` holds: those at the front.
    pub(super) fn partition_point(&self, is_before: impl Fn(&T) -> bool) -> usize {
        let (first, rest) = self.slices();
        match first.last() {
            Some(last) if !is_before(last) => first.partition_point(is_before),
            _ => first.len() + rest.partition_point(is_before),
        }
    }

    /// Gives memory back that nothing is in: of a hundred thousand flows most are idle (DESIGN invariant 6).
    pub(super) fn give_back(&mut self) {
        if let Few::Many(many) = self
            && many.is_empty()
            && many.capacity() > PLACES
        {
            *self = Few::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn is_the_list_that_it_stands_for(steps in proptest::collection::vec(0u8..6, 0..60)) {
            let (mut few, mut list) = (Few::default(), VecDeque::new());
            for (n, step) in steps.into_iter().enumerate() {
                match step {
                    0..=2 => {
                        few.push_back(n);
                        list.push_back(n);
                    }
                    3 | 4 => prop_assert_eq!(few.pop_front(), list.pop_front()),
                    _ => few.give_back(),
                }
                let ends = (few.front().copied(), few.back().copied(), few.len());
                prop_assert_eq!(ends, (list.front().copied(), list.back().copied(), list.len()));
                prop_assert!(few.iter().eq(&list));
                for at in 0..=n + 1 {
                    prop_assert_eq!(few.partition_point(|m| *m < at), list.partition_point(|m| *m < at));
                    prop_assert_eq!(few.get(at), list.get(at));
                }
                if !list.is_empty() {
                    prop_assert!(few.range_mut(1..list.len()).map(|m| *m).eq(list.range(1..).copied()));
                }
            }
        }
    }

    #[test]
    fn one_takes_no_memory_and_many_give_it_back() {
        let mut few = Few::default();
        for n in 0..3 {
            few.push_back(n);
            assert_eq!(few.pop_front(), Some(n));
            assert!(matches!(few, Few::One(None)));
        }
        (0..100).for_each(|n| few.push_back(n));
        few.give_back();
        assert_eq!(few.len(), 100);
        while few.pop_front().is_some() {}
        few.give_back();
        assert!(matches!(few, Few::One(None)));
    }
}
