//! Applications between the two hosts of a lab, each with its server on one and its client on the other. What arrives is
//! compared with what was sent wherever the application itself does not; what they measure is what their users would.
//!
//! A server listens on every address of its host, so that one of them can take another path through the appliance.

pub mod iperf;
pub mod postgres;
pub mod redis;
pub mod smtp;
pub mod ssh;
pub mod web;
pub mod websocket;

pub use iperf::Direction;
pub use postgres::Postgres;
pub use redis::Redis;
pub use smtp::Smtp;
pub use ssh::Sshd;
pub use web::Web;
pub use websocket::WebSocket;

use std::time::Duration;

use serde_json::Value;

use super::error::{LabError, Result};

/// What a client gets beyond the time that it was asked to work: to connect, to finish, and to lose a few segments.
const GRACE: Duration = Duration::from_secs(30);

/// What a server gets to start, on a machine that is busy with other things.
const START: Duration = Duration::from_secs(20);

/// What a lost segment costs when nothing behind it tells of the loss: the smallest RTO of both stacks.
const LOST: Duration = Duration::from_millis(200);

/// How long an exchange of two segments takes on average that takes `least` when nothing is lost, and `loss` (0 to 1) of
/// the segments are: for programs that count what they do, and not seconds.
fn exchange(least: Duration, loss: f64) -> Duration {
    least + LOST.mul_f64(2.0 * loss)
}

/// Parses a program's report.
fn json(text: &str) -> Result<Value> {
    let unexpected =
        |error| LabError::Unexpected { expected: format!("JSON ({error})"), got: text.to_owned() };
    serde_json::from_str(text).map_err(unexpected)
}

/// A number in a report, by JSON pointer.
fn number(report: &Value, pointer: &str) -> Result<f64> {
    let value = report.pointer(pointer).and_then(Value::as_f64);
    value.ok_or_else(|| LabError::Unexpected {
        expected: format!("a number at {pointer}"),
        got: report.to_string(),
    })
}
