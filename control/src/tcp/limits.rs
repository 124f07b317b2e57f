//! What one leg may take of memory and time.

use std::time::Duration;

use super::congestion::Algorithm;
use super::keepalive::Keepalive;

/// Limits of one block. Bytes and counts are per block.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes that the send queue is meant to hold, sent or not: what `send_space` counts down from.
    pub send_buffer: u32,
    /// Bytes that the peer may have outstanding or unread; no right edge beyond it is offered after the SYN.
    pub receive_buffer: u32,
    /// Chunks that a queue holds before small ones are copied together, so that they pin no packet buffers.
    pub max_chunks: usize,
    /// Out-of-order chunks that are kept (4 MiB in segments of 1 KiB, by default); what comes beyond is dropped and not SACKed.
    pub max_reassembly_segments: usize,
    /// Lower bound of the retransmission timeout.
    pub rto_min: Duration,
    /// Upper bound of the retransmission timeout, backoff included, and of the interval between window probes.
    pub rto_max: Duration,
    /// How long a SYN is retransmitted before giving up.
    pub syn_timeout: Duration,
    /// TIME-WAIT.
    pub linger: Duration,
    /// How long data is retransmitted without any progress before giving up (RFC 9293 section 3.8.3, R2).
    pub user_timeout: Duration,
    /// Whether, and when, an idle peer is asked if it is still there; off by default (RFC 9293 section 3.8.4, MUST-25).
    pub keepalive: Option<Keepalive>,
    /// The congestion controller.
    pub congestion: Algorithm,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            send_buffer: 4 << 20,
            receive_buffer: 4 << 20,
            max_chunks: 256,
            max_reassembly_segments: 4096,
            rto_min: Duration::from_millis(200),
            rto_max: Duration::from_secs(60),
            syn_timeout: Duration::from_secs(75),
            linger: Duration::from_secs(10),
            user_timeout: Duration::from_secs(300),
            keepalive: None,
            congestion: Algorithm::default(),
        }
    }
}
