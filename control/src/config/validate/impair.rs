//! The impaired cable of a port, for labs.

use std::time::Duration;

use dataplane::port::impaired::Impairment;
use toml::Spanned;

use crate::config::error::Problems;
use crate::config::external;
use crate::config::scalar::{bit_rate, duration, number, share};

/// Frames in each direction, and of these 2 · workers for each port: with the longest queue a pool of many GiB.
const QUEUE: std::ops::RangeInclusive<u32> = 1..=1 << 20;

pub(super) fn validate(raw: &Spanned<external::Impair>, problems: &mut Problems) -> Impairment {
    let (span, raw) = (raw.span(), raw.get_ref());
    let default = Impairment::default();
    let longest = Duration::from_secs(10);
    let time =
        |raw, default, problems: &mut Problems| duration(raw, default, Duration::ZERO..=longest, problems);
    let impairment = Impairment {
        loss: share(&raw.loss, problems),
        duplicate: share(&raw.duplicate, problems),
        reorder: share(&raw.reorder, problems),
        reorder_by: time(&raw.reorder_by, default.reorder_by, problems),
        delay: time(&raw.delay, default.delay, problems),
        jitter: time(&raw.jitter, default.jitter, problems),
        rate: raw.rate.as_ref().map(|rate| bit_rate(rate, problems)),
        queue: number(&raw.queue, default.queue as u32, QUEUE, problems) as usize,
        seed: number(&raw.seed, default.seed, 0..=i64::MAX as u64, problems),
    };
    let harmless = Impairment {
        reorder_by: impairment.reorder_by,
        queue: impairment.queue,
        seed: impairment.seed,
        ..Impairment::default()
    };
    let keys = [&raw.loss, &raw.duplicate, &raw.reorder, &raw.delay, &raw.jitter];
    if impairment == harmless && keys.iter().all(|key| key.is_none()) {
        problems.at(
            span,
            "nothing is impaired; write for example loss = \"1%\" or delay = \"25ms\", or leave it out",
        );
    }
    impairment
}
