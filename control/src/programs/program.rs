//! One program: its hello, its orders, and what it is told.

use std::io::{self, ErrorKind};
use std::rc::Rc;
use std::time::Duration;

use quadrille_listener::wire::{FromProgram, Invalid, MAX_MESSAGE};
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};
use zerocopy::IntoBytes;

use super::seqpacket::{Outgoing, Socket};
use super::state::Shares;
use super::words;

/// A program that connects and says nothing is left.
const PATIENCE: Duration = Duration::from_secs(5);
/// Between attempts while the control core has no room for orders.
const RETRY: Duration = Duration::from_millis(1);
/// Orders taken before others have their turn.
const ORDERS_IN_A_ROW: usize = 64;

/// Why a program's connection ends.
#[derive(Debug, thiserror::Error)]
pub(super) enum Leaves {
    /// It has closed its socket, or died.
    #[error("it has gone")]
    Closed,
    /// Its module is no longer configured.
    #[error("its module is no longer configured")]
    Retired,
    /// It has said nothing in time.
    #[error("it has not said hello within {} s", PATIENCE.as_secs())]
    Mute,
    /// What it sends is not part of the protocol.
    #[error("it has sent {0}")]
    Invalid(#[from] Invalid),
    /// An order cannot be carried out.
    #[error("it orders a rejection that no SYN can get, or names a place that no host or router can have")]
    Unfit,
    /// It says hello twice, or something else first.
    #[error("its first message, and no other, has to be a hello")]
    OutOfPlace,
    /// The system.
    #[error("{0}")]
    System(#[from] io::Error),
}

impl Leaves {
    /// Nobody has done anything wrong.
    pub(super) fn is_orderly(&self) -> bool {
        matches!(self, Leaves::Closed | Leaves::Retired)
    }
}

/// Listens to the program until it leaves.
pub(super) async fn listen(shares: &Shares, serial: u64, socket: &Socket) -> Leaves {
    match converse(shares, serial, socket).await {
        Ok(never) => match never {},
        Err(leaves) => leaves,
    }
}

async fn converse(shares: &Shares, serial: u64, socket: &Socket) -> Result<std::convert::Infallible, Leaves> {
    let first = timeout(PATIENCE, hear(socket)).await.map_err(|_| Leaves::Mute)??;
    let FromProgram::Hello(_) = first else { return Err(Leaves::OutOfPlace) };
    greet(shares, serial);
    let mut in_a_row = 0;
    loop {
        let FromProgram::Action(order) = hear(socket).await? else { return Err(Leaves::OutOfPlace) };
        if !words::is_fit(&order) {
            return Err(Leaves::Unfit);
        }
        shares.borrow_mut().ordered(serial, order);
        // Its orders wait in its socket while the control core has no room for them.
        while !shares.borrow_mut().flush() {
            sleep(RETRY).await;
        }
        in_a_row += 1;
        if in_a_row % ORDERS_IN_A_ROW == 0 {
            tokio::task::yield_now().await;
        }
    }
}

fn greet(shares: &Shares, serial: u64) {
    let mut state = shares.borrow_mut();
    let hello = state.hello;
    if let Some(program) = state.program(serial) {
        program.say(Outgoing { bytes: hello.as_bytes().into(), descriptor: None });
        program.is_greeted = true;
    }
    state.publish();
}

async fn hear(socket: &Socket) -> Result<FromProgram, Leaves> {
    let mut bytes = [0; MAX_MESSAGE];
    let len = match socket.receive(&mut bytes).await {
        // A program that dies with unread messages.
        Err(error) if error.kind() == ErrorKind::ConnectionReset => return Err(Leaves::Closed),
        received => received?,
    };
    match bytes.get(..len) {
        Some([]) => Err(Leaves::Closed),
        Some(message) => Ok(FromProgram::read(message)?),
        None => Err(Invalid::Length.into()),
    }
}

/// Sends what the program is to be told, until that cannot be done. A program that does not hear of what it has been offered
/// may not stay in the turn: each offer would run into its deadline.
pub(super) async fn tell(shares: &Shares, serial: u64, socket: &Socket, has_backlog: Rc<Notify>) -> Leaves {
    loop {
        let message = {
            let mut state = shares.borrow_mut();
            let Some(program) = state.program(serial) else { return Leaves::Closed };
            let message = program.backlog.pop_front();
            state.publish();
            if message.is_none() && state.is_retired {
                return Leaves::Retired;
            }
            message
        };
        match message {
            None => has_backlog.notified().await,
            Some(message) => match socket.send(&message).await {
                Ok(()) => {}
                // It has gone, which `listen` finds out behind the last of its orders.
                Err(error) if matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset) => {
                    std::future::pending::<()>().await;
                }
                // Too many descriptors under way, for one, or no memory.
                Err(error) => return error.into(),
            },
        }
    }
}
