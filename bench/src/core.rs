//! A control core whose one module relays.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use control::core::context::Settings;
use control::core::secret::IsnKey;
use control::core::{Core, Parts, WorkerLink};
use control::module::relay::{MergeWhen, Relay};
use control::module::{Acknowledge, Isn, ServerAck};
use control::suspended::{self, WhenFull};
use dataplane::buffer::Pool;
use dataplane::policy::Fallback;
use dataplane::port::PortId;
use dataplane::worker::heartbeat::Heartbeat;

use crate::worker::HOUR;

/// Server-first, mirrored sequence numbers.
pub fn relaying<L: Pool>(
    pool: L,
    links: Vec<WorkerLink<L::Buffer>>,
    merge: MergeWhen,
    settings: Settings,
    heartbeat: Arc<Heartbeat>,
) -> Core<L> {
    let module = Relay {
        merge,
        server_ack: ServerAck::AfterClient,
        isn: Isn::Mirror,
        acknowledge: Acknowledge::Receipt,
        client_first: None,
    };
    Core::new(Parts {
        links,
        pool,
        modules: vec![Box::new(module)],
        settings,
        heartbeat,
        report: Arc::default(),
        buffered: Arc::default(),
    })
}

/// Room for so many participating flows, and for so many held SYNs.
pub fn settings(connections: usize, held: usize) -> Settings {
    Settings {
        leg: Default::default(),
        connections,
        when_full: Fallback::Drop,
        suspended: suspended::Limits::of(held),
        when_suspended_full: WhenFull::Oldest,
        history: NonZeroUsize::new(held).expect("more than none"),
        buffered: 1 << 30,
        held_per_flow: 16,
        held,
        drain: Duration::from_millis(150),
        drain_up_to: 16 << 10,
        refused: Duration::from_secs(10),
        icmp_errors: Default::default(),
        idle_established: HOUR,
        half_closed: HOUR,
        isn_key: IsnKey::new([1, 2, 3, 4]),
        peers: vec![PortId(1), PortId(0)],
        mtu: vec![1500, 1500],
    }
}
