//! The `quadrille` binary.

use std::process::ExitCode;

use control::cli::{Appliance, execute};

fn main() -> ExitCode {
    execute(std::env::args_os(), Appliance { run: None, demo: None })
}
