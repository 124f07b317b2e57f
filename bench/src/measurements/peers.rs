//! The appliance beside what others put between a client and a server: real connections between network namespaces, through the
//! kernel's forwarding, proxies, and `quadrille` itself.

mod contender;
mod cost;
mod ends;
mod inside;
mod proxies;
mod sockmap;
mod table;

use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, bail};
use control::lab::{Command, Endpoint, Entered, Isolated, Output, Reexec};
use serde::{Deserialize, Serialize};

use contender::Contender;
use sockmap::Sockmap;

use crate::machine;
use crate::suite::{Finding, Measurement, Run, one_line};

pub const MEASUREMENT: Measurement = Measurement {
    name: "peers",
    about: "Connections, bulk and idle connections through veths: HAProxy, nginx, sockmap, the kernel's forwarding, and this appliance",
    budget: "in memory at least 12 times HAProxy's connections a CPU second; over veths reported",
    only_full: true,
    most_samples: 11,
    run,
};

/// Connections that stay, where as many files may be open.
const IDLE: usize = 10_000;

/// No run takes longer.
const DEADLINE: Duration = Duration::from_secs(3600);

/// What a process of its own does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Part {
    /// All of it, in namespaces that end with the process. It prints the finding.
    Lab { samples: usize },
    /// On the server's host.
    Server,
    /// On the client's.
    Client,
    /// On the router.
    Sockmap(Sockmap),
}

impl FromStr for Part {
    type Err = serde_json::Error;

    fn from_str(text: &str) -> Result<Part, serde_json::Error> {
        serde_json::from_str(text)
    }
}

impl Part {
    /// What the process does.
    pub fn carry_out(&self) -> anyhow::Result<()> {
        match *self {
            Part::Lab { samples } => match self.enter()? {
                Entered::Inside(isolated) => {
                    println!("{}", serde_json::to_string(&inside::run(isolated, samples)?)?);
                    Ok(())
                }
                Entered::Finished(_) => bail!("this is for `./dev bench --only peers` to start"),
            },
            Part::Server => ends::server::run(&Contender::ALL.map(Contender::port)),
            Part::Client => ends::client::run(),
            Part::Sockmap(ref sockmap) => sockmap.run(),
        }
    }

    /// For this program.
    fn arguments(&self) -> anyhow::Result<[String; 2]> {
        Ok(["--peers".to_owned(), serde_json::to_string(self)?])
    }

    /// In namespaces of its own.
    fn enter(&self) -> anyhow::Result<Entered> {
        let arguments = self.arguments()?.map(Into::into).into();
        let request = Reexec { arguments, timeout: DEADLINE, output: Output::ErrorsShown };
        Ok(Isolated::enter_or_reexec(&request)?)
    }

    /// On a host of the lab.
    fn on(&self, host: &Endpoint) -> anyhow::Result<Command> {
        let program = std::env::current_exe()?;
        let program = program.to_str().context("a path that is no text")?;
        Ok(host.command(program).args(self.arguments()?))
    }
}

/// A machine without what a lab needs has a finding, too: why there is none.
fn run(run: &mut Run) -> anyhow::Result<Finding> {
    let part = Part::Lab { samples: run.samples };
    // The lab's processes have all cores, as they would inherit the one that this thread is pinned to.
    machine::unpin()?;
    let entered = run.wait_for(|| part.enter());
    machine::pin();
    match entered {
        Ok(Entered::Finished(finished)) => {
            let said = finished.ok()?;
            serde_json::from_str(&said).with_context(|| format!("no finding: {said}"))
        }
        Ok(Entered::Inside(_)) => bail!("`--only peers` inside of a lab"),
        Err(why) => {
            let why = one_line(&why);
            run.say(&why);
            Ok(table::nothing(&why))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_read_as_it_is_written() {
        let end = "10.0.0.1:7".parse().expect("an address");
        let sockmap = Part::Sockmap(Sockmap { listen: end, server: end, object: "a b".into() });
        for part in [Part::Lab { samples: 7 }, Part::Server, Part::Client, sockmap] {
            let [_, text] = part.arguments().expect("a line");
            assert_eq!(text.parse::<Part>().expect("its own words"), part);
        }
    }

    #[test]
    fn an_error_fits_into_a_cell() {
        let error = anyhow::anyhow!("first\n  second | third").context("outside");
        assert_eq!(one_line(&error), "outside: first second / third");
    }
}
