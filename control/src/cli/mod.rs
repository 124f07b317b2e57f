//! The command line: arguments, what each verb does, and how answers look to a person.

use std::ffi::OsString;
use std::io::{self, ErrorKind, Write};
use std::process::ExitCode;

use clap::Parser;

mod args;
mod commands;
mod render;
mod render_check;
mod render_rules;
mod table;
#[cfg(test)]
mod tests;
mod units;

use crate::config::validated;
use commands::Failure;

/// What only an assembled appliance can do; the binary hands it in. `None` where a build has no packet path.
#[derive(Clone, Copy, Default)]
pub struct Appliance {
    /// Runs until it is told to stop. What turns out to be wrong with the configuration only now is a
    /// [`crate::config::ConfigError`] inside.
    pub run: Option<fn(validated::Config) -> anyhow::Result<()>>,
    /// Builds a world of its own, shows it, and takes it down.
    pub demo: Option<fn() -> anyhow::Result<()>>,
}

/// Does what the arguments say (the program's name first): 0 done, 1 failed, 2 usage or bad configuration.
pub fn execute<I, T>(arguments: I, appliance: Appliance) -> ExitCode
where
    I: IntoIterator<Item = T>,
    T: Into<OsString> + Clone,
{
    let arguments = match args::Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(error) => {
            // Nobody is left to tell when this fails.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { 2 } else { 0 });
        }
    };
    match commands::perform(arguments.command, appliance).and_then(|text| print(&text)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("{}", failure.text());
            ExitCode::from(failure.code())
        }
    }
}

/// A reader that has seen enough (`| head`) is no failure.
fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(Failure::Failed(error.into())),
        _ => Ok(()),
    }
}
