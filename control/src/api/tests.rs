//! Server and client over a real socket, with a small backend.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::{Arc, Barrier};
use std::time::Duration;

use dataplane::flow::quad::Segment;

use super::client::{ClientError, ask};
use super::types::*;
use super::*;

/// Answers `flows` only when two ask at once.
struct Small {
    meeting: Barrier,
}

impl Backend for Small {
    fn status(&self) -> Result<Status, BackendError> {
        Err(BackendError("worker 1 does not answer".into()))
    }

    fn flows(&self, limit: usize) -> Result<Vec<FlowInfo>, BackendError> {
        self.meeting.wait();
        Ok(vec![flow(); 3].into_iter().take(limit).collect())
    }

    fn stats(&self) -> Result<Stats, BackendError> {
        Ok(Stats {
            counters: [("drop_land".to_owned(), u64::MAX)].into(),
            workers: vec![],
            control: Counters::new(),
            ports: vec![],
            mbufs: Mbufs { total: 4095, in_use: 7 },
            tables: [("flows".to_owned(), Usage { used: 1, capacity: 10 })].into(),
            inspections: Default::default(),
        })
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
        Err(BackendError("unused".into()))
    }
}

fn flow() -> FlowInfo {
    FlowInfo {
        client: "10.0.0.1:4711".parse().unwrap(),
        server: "[fd00::2]:80".parse().unwrap(),
        far_client: None,
        far_server: None,
        pair: 0,
        vlans: vlans(Segment::new(0, 0, 7)),
        path: Path::CutThrough,
        module: Some("relay".into()),
        delta_c2s: 0,
        delta_s2c: -5,
        bytes_c2s: 100,
        bytes_s2c: 1000,
        packets_c2s: 3,
        packets_s2c: 4,
        age_ms: 1500,
        splits: 1,
        merges: 2,
    }
}

struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Place {
        Place { folder: tempfile::tempdir().unwrap() }
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("made/q.sock")
    }

    fn start(&self) -> Running {
        let backend = Arc::new(Small { meeting: Barrier::new(2) });
        Server::bind(&self.socket()).unwrap().spawn(backend).unwrap()
    }

    fn connect(&self) -> BufReader<UnixStream> {
        let stream = UnixStream::connect(self.socket()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        BufReader::new(stream)
    }
}

fn say(stream: &mut BufReader<UnixStream>, request: &[u8]) -> String {
    stream.get_mut().write_all(request).unwrap();
    let mut line = String::new();
    stream.read_line(&mut line).unwrap();
    line
}

#[test]
fn answers_and_errors_travel() {
    let place = Place::new();
    let _running = place.start();
    let stats: Stats = ask(&place.socket(), &Request::Stats {}).unwrap();
    assert_eq!(stats.counters["drop_land"], u64::MAX);
    let error = ask::<Status>(&place.socket(), &Request::Status {}).unwrap_err();
    assert_eq!(error.to_string(), "the appliance answers: worker 1 does not answer");
    assert_eq!(std::fs::metadata(place.socket()).unwrap().permissions().mode() & 0o777, 0o660);
}

#[test]
fn two_clients_are_served_at_once() {
    let place = Place::new();
    let _running = place.start();
    let socket = place.socket();
    let ask_flows = move |limit| ask::<Vec<FlowInfo>>(&socket, &Request::Flows { limit }).unwrap();
    let other = std::thread::spawn({
        let ask_flows = ask_flows.clone();
        move || ask_flows(None)
    });
    assert_eq!(ask_flows(Some(2)), [flow(), flow()]);
    assert_eq!(other.join().unwrap().len(), 3);
}

#[test]
fn the_wire_format_is_the_contract() {
    let json =
        r#"{"client":"10.0.0.1:4711","server":"[fd00::2]:80","pair":0,"vlans":[7],"path":"cut_through","#
            .to_owned()
            + r#""module":"relay","delta_c2s":0,"delta_s2c":-5,"bytes_c2s":100,"bytes_s2c":1000,"packets_c2s":3,"#
            + r#""packets_s2c":4,"age_ms":1500,"splits":1,"merges":2}"#;
    assert_eq!(serde_json::to_string(&flow()).unwrap(), json);
    assert_eq!(serde_json::from_str::<FlowInfo>(&json).unwrap(), flow());
    let request = serde_json::to_string(&Request::Flows { limit: None }).unwrap();
    assert_eq!(request, r#"{"verb":"flows"}"#);
    for path in [Path::Suspended, Path::Participating, Path::CutThrough, Path::Monitored, Path::Bypassed] {
        assert_eq!(serde_json::to_string(&path).unwrap(), format!("{:?}", path.name()));
    }
}

#[test]
fn a_connection_survives_malformed_requests() {
    let place = Place::new();
    let _running = place.start();
    let mut stream = place.connect();
    let malformed: [&[u8]; 6] =
        [b"\n", b"flows\n", b"{\"verb\":\"fly\"}\n", b"{\"verb\":\"stats\",\"x\":1}\n", b"[]\n", b"\xff\0\n"];
    for request in malformed {
        let answer = say(&mut stream, request);
        assert!(answer.starts_with("{\"error\":\"not a request: "), "{answer}");
    }
    assert!(say(&mut stream, b"{\"verb\":\"stats\"}\n").starts_with("{\"ok\":{\"counters\":"));
    let cut = &b"{\"verb\":\"stats\"}"[..];
    stream.get_mut().write_all(cut).unwrap();
    stream.get_mut().shutdown(std::net::Shutdown::Write).unwrap();
    let mut rest = String::new();
    stream.read_to_string(&mut rest).unwrap();
    assert!(rest.starts_with("{\"ok\":") && rest.ends_with("}\n"), "{rest}");
}

#[test]
fn an_oversized_request_ends_the_connection() {
    let place = Place::new();
    let _running = place.start();
    let mut stream = place.connect();
    let answer = say(&mut stream, &vec![b' '; MAX_REQUEST]);
    assert_eq!(answer, "{\"error\":\"a request has at most 4096 bytes, newline included\"}\n");
    assert_eq!(stream.read(&mut [0; 1]).unwrap(), 0);
    let mut longest = vec![b' '; MAX_REQUEST - 17];
    longest.extend(b"{\"verb\":\"stats\"}\n");
    assert!(say(&mut place.connect(), &longest).starts_with("{\"ok\":"));
}

#[test]
fn one_connection_too_many_is_told_so() {
    let place = Place::new();
    let _running = place.start();
    let mut open: Vec<_> = (0..MAX_CONNECTIONS).map(|_| place.connect()).collect();
    for stream in &mut open {
        say(stream, b"{\"verb\":\"stats\"}\n");
    }
    let error = ask::<Stats>(&place.socket(), &Request::Stats {}).unwrap_err();
    let expected = "the appliance answers: 32 management connections are open already; try again later";
    assert_eq!(error.to_string(), expected);
}

#[test]
fn a_living_socket_is_respected_and_a_stale_one_replaced() {
    let place = Place::new();
    let running = place.start();
    assert!(matches!(Server::bind(&place.socket()), Err(BindError::AlreadyRunning(_))));
    drop(running);
    assert!(!place.socket().exists());

    // Somebody who takes no lock.
    let foreign = UnixListener::bind(place.socket()).unwrap();
    assert!(matches!(Server::bind(&place.socket()), Err(BindError::AlreadyRunning(_))));
    drop(foreign);
    assert!(place.socket().exists());
    let running = place.start();
    assert!(ask::<Stats>(&place.socket(), &Request::Stats {}).is_ok());
    drop(running);

    std::fs::write(place.socket(), "precious").unwrap();
    assert!(matches!(Server::bind(&place.socket()), Err(BindError::NotASocket(_))));
    assert_eq!(std::fs::read(place.socket()).unwrap(), b"precious");
}

#[test]
fn nobody_there_is_said_with_a_remedy() {
    let place = Place::new();
    let error = ask::<Stats>(&place.socket(), &Request::Stats {}).unwrap_err();
    assert!(matches!(error, ClientError::NobodyListens(_)));
    let expected = format!(
        "no appliance listens at {}: start one with `quadrille run --config …`, or name its socket with --socket",
        place.socket().display()
    );
    assert_eq!(error.to_string(), expected);
}

#[test]
fn an_answer_of_something_else_is_not_believed() {
    let place = Place::new();
    std::fs::create_dir(place.socket().parent().unwrap()).unwrap();
    let listener = UnixListener::bind(place.socket()).unwrap();
    let other = std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        let mut stream = BufReader::new(stream);
        say(&mut stream, b"220 ready\n");
    });
    let error = ask::<Stats>(&place.socket(), &Request::Stats {}).unwrap_err();
    assert!(matches!(error, ClientError::Garbled { .. }), "{error}");
    other.join().unwrap();
}
