//! What each verb does. Text for standard output comes back; nothing here prints.

use std::io::IsTerminal;
use std::path::Path;

use anyhow::anyhow;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tracing_subscriber::EnvFilter;

use super::args::{Command, ConfigFile, EventQuery, MergeQuery, Query, SplitQuery};
use super::{Appliance, render, render_check, render_rules};
use crate::api::client::ask;
use crate::api::{EventInfo, FlowInfo, MAX_FLOWS, ReloadInfo, Request, RuleInfo, Stats, Status};
use crate::config::{self, Config, ConfigError, Machine};

/// Why a verb did not do what it was asked to.
pub(super) enum Failure {
    /// Exit code 2; every line names its place by itself.
    Config(ConfigError),
    /// The same, of a configuration that the running appliance has read.
    Refused(String),
    /// Exit code 1.
    Failed(anyhow::Error),
}

impl Failure {
    pub(super) fn code(&self) -> u8 {
        match self {
            Failure::Config(_) | Failure::Refused(_) => 2,
            Failure::Failed(_) => 1,
        }
    }

    pub(super) fn text(&self) -> String {
        match self {
            Failure::Config(error) => error.to_string(),
            Failure::Refused(problems) => problems.clone(),
            Failure::Failed(error) => format!("quadrille: {error:#}"),
        }
    }
}

pub(super) fn perform(command: Command, appliance: Appliance) -> Result<String, Failure> {
    match command {
        Command::Run(file) => run(&file, appliance),
        Command::Check(file) => Ok(render_check::check(&file.config, &load(&file.config)?)),
        Command::Demo => {
            let demo = appliance.demo.ok_or_else(|| absent("demo"))?;
            start_logging();
            demo().map(|()| String::new()).map_err(Failure::Failed)
        }
        Command::Status(query) => {
            answer(&query, &Request::Status {}, |status: &Status| render::status(status))
        }
        Command::Flows(flows) => {
            let limit = flows.limit.min(MAX_FLOWS);
            answer(&flows.query, &Request::Flows { limit: Some(limit) }, |list: &Vec<FlowInfo>| {
                render::flows(list, limit)
            })
        }
        Command::Stats(query) => answer(&query, &Request::Stats {}, |stats: &Stats| render::stats(stats)),
        Command::Rules(query) => {
            answer(&query, &Request::Rules {}, |rules: &Vec<RuleInfo>| render_rules::rules(rules))
        }
        Command::Split(SplitQuery { query, client, server, place, module }) => {
            let (vlans, pair) = (place.vlan.map(|vlan| vlan.0), place.pair);
            answer(&query, &Request::Split { client, server, vlans, pair, module }, render::handed_over)
        }
        Command::Merge(MergeQuery { query, client: Some(client), server: Some(server), place, .. }) => {
            let (vlans, pair) = (place.vlan.map(|vlan| vlan.0), place.pair);
            answer(&query, &Request::Merge { client, server, vlans, pair }, render::handed_over)
        }
        Command::Merge(MergeQuery { query, on, .. }) => {
            answer(&query, &Request::Merging { on }, |on: &bool| render::merging(*on))
        }
        Command::Events(EventQuery { query, limit }) => {
            answer(&query, &Request::Events { limit: Some(limit) }, |events: &Vec<EventInfo>| {
                render::events(events)
            })
        }
        Command::Reload(query) => reload(&query),
    }
}

fn run(file: &ConfigFile, appliance: Appliance) -> Result<String, Failure> {
    let config = load(&file.config)?;
    let run = appliance.run.ok_or_else(|| absent("run"))?;
    start_logging();
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    run(config).map(|()| String::new()).map_err(|error| match error.downcast::<ConfigError>() {
        Ok(error) => Failure::Config(error),
        Err(error) => Failure::Failed(error),
    })
}

fn load(path: &Path) -> Result<Config, Failure> {
    config::load(path, &Machine::this()).map_err(Failure::Config)
}

fn absent(verb: &str) -> Failure {
    Failure::Failed(anyhow!("`{verb}` is not part of this build: build it with the cargo feature `dpdk`"))
}

fn start_logging() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    // Fails only when logging has been started already, which is as good.
    let _ = subscriber.try_init();
}

fn reload(query: &Query) -> Result<String, Failure> {
    match ask(&query.socket, &Request::Reload {}).map_err(|error| Failure::Failed(error.into()))? {
        ReloadInfo::Invalid { problems } => Err(Failure::Refused(problems)),
        done => show(query, &done, render_rules::reload),
    }
}

fn answer<T: DeserializeOwned + Serialize>(
    query: &Query,
    request: &Request,
    render: impl FnOnce(&T) -> String,
) -> Result<String, Failure> {
    let answer: T = ask(&query.socket, request).map_err(|error| Failure::Failed(error.into()))?;
    show(query, &answer, render)
}

fn show<T: Serialize>(
    query: &Query,
    answer: &T,
    render: impl FnOnce(&T) -> String,
) -> Result<String, Failure> {
    if !query.json {
        return Ok(render(answer));
    }
    let json = serde_json::to_string_pretty(answer).map_err(|error| Failure::Failed(error.into()))?;
    Ok(json + "\n")
}
