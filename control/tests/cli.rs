//! The binary's contract with scripts: exit codes, and what goes to which stream.

use std::process::{Command, Output};
use std::sync::Arc;

use control::api::types::Path;
use control::api::{
    Backend, BackendError, EventInfo, FlowInfo, FlowName, HandedOver, ReloadInfo, RuleInfo, Server, Stats,
    Status,
};
use control::core::handover::HandOver;

/// Knows as many flows as it is asked for, and nothing else.
struct Flows;

impl Backend for Flows {
    fn status(&self) -> Result<Status, BackendError> {
        Err(BackendError("worker 0 has not replied within 1 s".into()))
    }

    fn flows(&self, limit: usize) -> Result<Vec<FlowInfo>, BackendError> {
        let flow = FlowInfo {
            client: "10.0.0.1:40001".parse().unwrap(),
            server: "[fd00::2]:80".parse().unwrap(),
            far_client: None,
            far_server: None,
            pair: 0,
            vlans: vec![],
            path: Path::Suspended,
            module: None,
            delta_c2s: 0,
            delta_s2c: 0,
            bytes_c2s: 0,
            bytes_s2c: 0,
            packets_c2s: 1,
            packets_s2c: 0,
            age_ms: 5,
            splits: 0,
            merges: 0,
        };
        Ok(vec![flow; limit])
    }

    fn stats(&self) -> Result<Stats, BackendError> {
        Err(BackendError("unused".into()))
    }

    fn rules(&self) -> Result<Vec<RuleInfo>, BackendError> {
        Err(BackendError("unused".into()))
    }

    fn hand_over(&self, _: HandOver, _: Option<&str>, flow: &FlowName) -> Result<HandedOver, BackendError> {
        let FlowName { client, server, .. } = *flow;
        Ok(HandedOver { client, server, path: Path::Participating })
    }

    fn events(&self, _: usize) -> Result<Vec<EventInfo>, BackendError> {
        Err(BackendError("unused".into()))
    }

    fn set_merging(&self, on: bool) -> Result<bool, BackendError> {
        Ok(on)
    }

    fn reload(&self) -> Result<ReloadInfo, BackendError> {
        Ok(ReloadInfo::Invalid { problems: "q.toml:1:1: what `check` says".into() })
    }
}

fn quadrille(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_quadrille")).args(arguments).output().unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn usage_errors_are_2_and_help_is_0() {
    let cases: [&[&str]; 5] = [&[], &["fly"], &["run"], &["flows", "--limit", "many"], &["status", "--jsno"]];
    for arguments in cases {
        let output = quadrille(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(output.stdout.is_empty() && !output.stderr.is_empty(), "{arguments:?}");
    }
    for arguments in [["--help"], ["--version"]] {
        let output = quadrille(&arguments);
        assert_eq!(output.status.code(), Some(0));
        assert!(!output.stdout.is_empty() && output.stderr.is_empty());
    }
}

#[test]
fn bad_configurations_are_2_for_check_and_run() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("q.toml");
    std::fs::write(&file, "[cores]\ncontrol = 0\nworkers = [0]\nidle = \"sleep\"\nport = 1\n").unwrap();
    let file = file.to_str().unwrap();
    for verb in ["check", "run"] {
        let output = quadrille(&[verb, "--config", file]);
        assert_eq!(output.status.code(), Some(2));
        let expected = format!(
            "{file}:5:1: cores.port: no such key; known here: control, workers, idle, idle_ceiling_us\n"
        );
        assert_eq!(stderr(&output), expected);
    }
    let output = quadrille(&["check", "--config", "/nonexistent.toml"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).starts_with("/nonexistent.toml: No such file"));
}

/// Two ports, the first one of them this device.
fn with_device(device: &str) -> String {
    let core = control::config::Machine::this().cores[0];
    format!(
        "[cores]\ncontrol = {core}\nworkers = [{core}]\nidle = \"sleep\"\n\
         [[port]]\nname = \"a\"\ndevice = \"{device}\"\npeer = \"b\"\n\
         [[port]]\nname = \"b\"\ndevice = \"net_null1\"\npeer = \"a\"\n"
    )
}

#[test]
fn missing_devices_and_impossible_cores_are_2_and_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("q.toml");
    let file = path.to_str().unwrap();
    let cases = [
        (
            with_device("net_af_packet0,iface=no-such"),
            "7:10: port[0].device: port \"a\", device net_af_packet0,",
        ),
        (with_device("net_af_xdp0,iface=no-such"), "7:10: port[0].device: port \"a\", device net_af_xdp0,"),
        (
            with_device("ffff:1f:1f.7"),
            "7:10: port[0].device: port \"a\", device ffff:1f:1f.7: there is no PCI",
        ),
        (
            with_device("net_null0").replacen("workers = [", "workers = [9999, ", 1),
            "3:12: cores.workers[0]: ",
        ),
    ];
    for (text, expected) in cases {
        std::fs::write(&path, text).unwrap();
        for verb in ["check", "run"] {
            let output = quadrille(&[verb, "--config", file]);
            let said = stderr(&output);
            assert_eq!(output.status.code(), Some(2), "{said}");
            assert!(said.starts_with(&format!("{file}:{expected}")), "{said}");
            assert_eq!(said.lines().count(), 1, "{said}");
        }
    }
}

#[test]
fn files_that_are_no_configuration_are_2() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("q.toml");
    let file = path.to_str().unwrap();
    let cases: [(&[u8], &str); 3] = [
        (b"[[[ what ]", ":1:"),
        (b"# one\n\xff\xfe", ":2: not a text"),
        (&[b'#'; (16 << 20) + 1], ": longer than 16777216 bytes"),
    ];
    for (bytes, expected) in cases {
        std::fs::write(&path, bytes).unwrap();
        let output = quadrille(&["check", "--config", file]);
        assert_eq!(output.status.code(), Some(2));
        assert!(stderr(&output).starts_with(&format!("{file}{expected}")), "{}", stderr(&output));
    }
    let output = quadrille(&["check", "--config", "/dev/zero"]);
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn a_good_configuration_is_shown() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("q.toml");
    let core = control::config::Machine::this().cores[0];
    let ports = "[[port]]\nname = \"a\"\ndevice = \"net_null0\"\npeer = \"b\"\n\
                 [[port]]\nname = \"b\"\ndevice = \"net_null1\"\npeer = \"a\"\n";
    let cores = format!("[cores]\ncontrol = {core}\nworkers = [{core}]\nidle = \"sleep\"\n");
    std::fs::write(&file, format!("{cores}{ports}")).unwrap();
    let output = quadrille(&["check", "--config", file.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let shown = String::from_utf8(output.stdout).unwrap();
    assert!(shown.starts_with(&format!("{} is valid\n", file.display())), "{shown}");
}

#[test]
fn queries_without_an_appliance_are_1() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("q.sock");
    for verb in ["status", "flows", "stats", "rules", "reload"] {
        let output = quadrille(&[verb, "--json", "--socket", socket.to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(1));
        assert!(output.stdout.is_empty());
        assert!(stderr(&output).starts_with("quadrille: no appliance listens at "), "{}", stderr(&output));
    }
}

#[test]
fn queries_print_what_the_appliance_answers() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("q.sock");
    let _running = Server::bind(&socket).unwrap().spawn(Arc::new(Flows)).unwrap();
    let ask = |arguments: &[&str]| quadrille(&[arguments, &["--socket", socket.to_str().unwrap()]].concat());

    let output = ask(&["flows", "--json", "--limit", "2"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let flows: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(flows.as_array().unwrap().len(), 2);
    assert_eq!((&flows[1]["server"], &flows[1]["path"]), (&"[fd00::2]:80".into(), &"suspended".into()));

    let output = ask(&["status"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(stderr(&output), "quadrille: the appliance answers: worker 0 has not replied within 1 s\n");

    let output = ask(&["reload"]);
    assert_eq!(output.status.code(), Some(2), "as `check` ends");
    assert_eq!(stderr(&output), "q.toml:1:1: what `check` says\n");
}
