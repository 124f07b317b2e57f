//! The answers that refused SYNs are remembered by: few different ones, each kept once.

use dataplane::refusal::Rejection;

/// Different rejections that are remembered; what comes beyond is answered with RST when its SYN is repeated.
const MOST: usize = 1024;

/// All that have been given so far.
pub(crate) struct Rejections(Vec<Rejection>);

impl Default for Rejections {
    fn default() -> Self {
        Rejections(vec![Rejection::Reset])
    }
}

impl Rejections {
    /// Its index.
    pub(crate) fn intern(&mut self, rejection: Rejection) -> u16 {
        let known = self.0.iter().position(|known| *known == rejection);
        let index = known.unwrap_or_else(|| {
            if self.0.len() == MOST {
                return 0;
            }
            self.0.push(rejection);
            self.0.len() - 1
        });
        index as u16
    }

    /// The one with an index that was given.
    pub(crate) fn get(&self, index: u16) -> Rejection {
        self.0[usize::from(index)]
    }
}
