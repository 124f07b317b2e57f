//! Reloads, with a control core that only writes down what it is told.

use std::path::PathBuf;
use std::sync::Arc;
use std::thread;

use crossbeam::channel::{Receiver, bounded};
use dataplane::clock::SystemClock;
use dataplane::flow::quad::{Quad, Segment};
use dataplane::policy::{Action, Fallback, Snapshot};

use super::reload::{ReloadError, Reloaded, Reloader};
use crate::config::{Devices, Machine, load};
use crate::core::change::{Change, Replaced};
use crate::core::query::Query;

const BASE: &str = "\
[cores]
control = 0
workers = [1, 2]
[[port]]
name = \"client\"
device = \"net_null0\"
peer = \"server\"
[[port]]
name = \"server\"
device = \"net_null1\"
peer = \"client\"
";

const OFFER: &str = "[[rule]]\naction = \"offer\"\nmodule = \"m\"\n[module.m]\nkind = \"relay\"\n";

struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new(text: &str) -> Place {
        let place = Place { folder: tempfile::tempdir().unwrap() };
        place.write(text);
        place
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("q.toml")
    }

    fn write(&self, text: &str) {
        std::fs::write(self.file(), format!("{BASE}{text}")).unwrap();
    }

    fn start(&self) -> (Reloader, Receiver<Query>) {
        let machine = Machine { cores: vec![0, 1, 2], devices: Devices::Unknown };
        let (queries, asked) = bounded(4);
        let config = load(&self.file(), &machine).unwrap();
        let (reloader, start) = Reloader::new(
            &config,
            machine,
            SystemClock::start(),
            queries,
            [1; 4],
            crate::module::as_configured(),
        )
        .unwrap();
        assert_eq!((start.policies.len(), start.modules.len()), (2, config.modules.len()));
        (reloader, asked)
    }
}

/// Reloads, and gives what the control core was asked to change.
fn reload(reloader: &Reloader, asked: &Receiver<Query>) -> (Result<Reloaded, ReloadError>, Option<Told>) {
    thread::scope(|scope| {
        let reloading = scope.spawn(|| reloader.reload());
        let told = loop {
            match asked.try_recv() {
                Ok(Query::Change(change)) => break Some(Told::of(change)),
                Ok(_) => panic!("another question"),
                Err(_) if reloading.is_finished() => break None,
                Err(_) => thread::yield_now(),
            }
        };
        (reloading.join().unwrap(), told)
    })
}

/// What is left of a change that was carried out.
struct Told {
    snapshots: Vec<Arc<Snapshot>>,
    modules: Vec<u16>,
    retired: Vec<u16>,
    when_full: Fallback,
}

impl Told {
    fn of(change: Change) -> Told {
        let told = Told {
            snapshots: change.policies.iter().map(|policy| Arc::clone(&policy.snapshot)).collect(),
            modules: change.modules.iter().map(|(index, _)| *index).collect(),
            retired: change.retired,
            when_full: change.when_full,
        };
        change.answer.send(Replaced { policies: change.policies, modules: Vec::new() }).unwrap();
        told
    }

    fn action(&self) -> Action {
        let quad = Quad::between("10.0.0.1:9".parse().unwrap(), "10.0.0.2:80".parse().unwrap()).unwrap();
        self.snapshots[0].decide(&quad, Segment(0)).action
    }
}

#[test]
fn rules_modules_and_policy_change_and_what_needs_a_restart_is_named() {
    let place = Place::new(OFFER);
    let (reloader, asked) = place.start();
    place.write(
        "mtu = 1400\n[limits]\nflows = 17\nsource_prefix_v6 = 48\n[timeouts]\nsyn = \"10s\"\n\
         [policy]\nflows_full = \"pass\"\n\
         [[rule]]\naction = \"drop\"\nmatch = { source = \"192.0.2.0/24\" }\n\
         [[rule]]\naction = \"offer\"\nmodule = \"n\"\n\
         [module.n]\nkind = \"relay\"\nmerge = \"never\"\n",
    );
    let (outcome, told) = reload(&reloader, &asked);
    let (reloaded, told) = (outcome.unwrap(), told.unwrap());
    assert_eq!((reloaded.rules, reloaded.modules), (2, 1));
    let left = ["port", "limits.source_prefix_v6", "limits.flows", "limits.far_sides", "timeouts.syn"];
    assert_eq!(reloaded.needs_restart, left);
    // The index of `m` still means `m`.
    assert_eq!((told.action(), told.modules), (Action::Offer { module: 1 }, vec![1]));
    assert_eq!((told.snapshots.len(), told.when_full), (2, Fallback::Pass));
    let in_force = reloader.in_force();
    assert_eq!((in_force.config.rules.len(), in_force.config.limits.flows), (2, 65_536));
    assert_eq!((in_force.module_name(0), in_force.module_name(1)), (Some("m"), Some("n")));
    assert_eq!(in_force.module_name(2), None);
    // Nothing has changed since: modules keep their indices, and what needs a restart still does.
    let (again, told) = reload(&reloader, &asked);
    assert_eq!((again.unwrap().needs_restart, told.unwrap().modules), (left.to_vec(), vec![]));
}

#[test]
fn an_invalid_configuration_changes_nothing_and_says_what_check_says() {
    let place = Place::new(OFFER);
    let (reloader, asked) = place.start();
    place.write("[[rule]]\naction = \"offer\"\n");
    let (outcome, told) = reload(&reloader, &asked);
    let said = outcome.unwrap_err().to_string();
    let expected = format!(
        "{}:12:1: rule[0].module: is missing; name the module that the flow is offered to",
        place.file().display()
    );
    assert_eq!(said, expected);
    assert!(told.is_none(), "the control core hears nothing");
    assert_eq!(reloader.in_force().config.modules.len(), 1);
    std::fs::remove_file(place.file()).unwrap();
    assert!(matches!(reload(&reloader, &asked), (Err(ReloadError::Invalid(_)), None)));
}

#[test]
fn a_control_core_that_is_gone_is_named() {
    let place = Place::new(OFFER);
    let (reloader, asked) = place.start();
    drop(asked);
    assert!(matches!(reloader.reload(), Err(ReloadError::Silent)));
}

/// Where its programs find it, a module stays what it was until the end.
#[test]
fn a_program_keeps_its_socket_and_its_settings() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("f.sock").display().to_string();
    let module = format!("[module.f]\nkind = \"program\"\nsocket = \"{socket}\"\n");
    let rule = "[[rule]]\naction = \"offer\"\nmodule = \"f\"\n";
    let place = Place::new(&format!("{rule}{module}"));
    let (reloader, asked) = place.start();
    let (outcome, told) = reload(&reloader, &asked);
    assert_eq!((outcome.unwrap().modules, told.unwrap().modules), (1, vec![]), "as it was");

    place.write(&format!("{rule}{module}deadline = \"1s\"\n"));
    let (outcome, told) = reload(&reloader, &asked);
    let expected = format!(
        "module \"f\": its settings have changed, but programs are connected to `socket` {socket} under the former ones; \
         give it another `socket`, or reload once without the module, or restart"
    );
    assert_eq!((outcome.unwrap_err().to_string(), told.is_none()), (expected, true));

    place.write(&format!("{rule}{}deadline = \"1s\"\n", module.replace("f.sock", "g.sock")));
    let (outcome, told) = reload(&reloader, &asked);
    let told = told.unwrap();
    assert_eq!((outcome.unwrap().modules, told.modules, told.retired), (1, vec![1], vec![0]));
}

/// What its programs were let go of begins anew, even with the same settings.
#[test]
fn a_program_that_is_configured_no_longer_is_retired_once() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("f.sock").display().to_string();
    let module = format!("[module.f]\nkind = \"program\"\nsocket = \"{socket}\"\n");
    let rule = "[[rule]]\naction = \"offer\"\nmodule = \"f\"\n";
    let place = Place::new(&format!("{rule}{module}"));
    let (reloader, asked) = place.start();
    for retired in [vec![0], vec![]] {
        place.write("");
        let (outcome, told) = reload(&reloader, &asked);
        assert_eq!((outcome.unwrap().modules, told.unwrap().retired), (0, retired));
    }
    place.write(&format!("{rule}{module}deadline = \"1s\"\n"));
    let (_, told) = reload(&reloader, &asked);
    assert_eq!(told.map(|told| (told.modules, told.retired)), Some((vec![1], vec![])));
    place.write("");
    reload(&reloader, &asked).0.unwrap();
    place.write(&format!("{rule}{module}"));
    let (_, told) = reload(&reloader, &asked);
    assert_eq!(
        told.map(|told| told.modules),
        Some(vec![2]),
        "0 was like this, and has let go of its programs"
    );
}

#[test]
fn a_next_hop_by_a_port_that_was_not_there_at_start_is_refused() {
    let place = Place::new("");
    let (reloader, asked) = place.start();
    let others = BASE.replace("client", "c").replace("server", "s");
    let text = format!("{others}[[rule]]\naction = \"forward\"\nnext_hop = {{ port = \"s\" }}\n");
    std::fs::write(place.file(), text).unwrap();
    let (outcome, told) = reload(&reloader, &asked);
    assert!(matches!(outcome, Err(ReloadError::OtherPorts)), "{outcome:?}");
    assert!(told.is_none());
    // The same ports, of which one is to have another MTU after a restart.
    let same = BASE.replacen("name = \"server\"", "name = \"server\"\nmtu = 1400", 1);
    let text = format!("{same}[[rule]]\naction = \"forward\"\nnext_hop = {{ port = \"server\" }}\n");
    assert_ne!(same, BASE);
    std::fs::write(place.file(), text).unwrap();
    let (outcome, told) = reload(&reloader, &asked);
    assert_eq!((outcome.unwrap().needs_restart, told.is_some()), (vec!["port"], true));
}
