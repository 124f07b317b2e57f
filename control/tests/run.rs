//! `quadrille run` with a real EAL and devices that need neither rights nor huge pages: what an operator sees from
//! start to end, and the exit code.
#![cfg(feature = "dpdk")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// Starts in about a second, much later on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Frames without end come from net_null, and go round in net_ring.
const TALKING: [&str; 2] = ["net_null0,size=64", "net_ring0"];

struct World {
    folder: tempfile::TempDir,
}

impl World {
    fn new(devices: [&str; 2]) -> World {
        let world = World { folder: tempfile::tempdir().unwrap() };
        let core = control::config::Machine::this().cores[0];
        let text = format!(
            "socket = \"{}\"\n[memory]\nhugepages = false\n\
             [cores]\ncontrol = {core}\nworkers = [{core}]\nidle = \"sleep\"\n\
             [limits]\nflows = 1024\nparticipating = 64\nreceive_ring = 256\ntransmit_ring = 256\n\
             [[port]]\nname = \"left\"\ndevice = \"{}\"\npeer = \"right\"\n\
             [[port]]\nname = \"right\"\ndevice = \"{}\"\npeer = \"left\"\n",
            world.path("q.sock").display(),
            devices[0],
            devices[1],
        );
        fs::write(world.path("q.toml"), text).unwrap();
        world
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// `quadrille run`, its output in files of the world.
    fn run(&self) -> Running<'_> {
        let child = Command::new(env!("CARGO_BIN_EXE_quadrille"))
            .args(["run", "--config"])
            .arg(self.path("q.toml"))
            .env("XDG_RUNTIME_DIR", self.folder.path())
            .stdout(Stdio::from(fs::File::create(self.path("out")).unwrap()))
            .stderr(Stdio::from(fs::File::create(self.path("err")).unwrap()))
            .spawn()
            .unwrap();
        Running { world: self, child }
    }

    fn ask(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_quadrille"));
        command.args(arguments).arg("--socket").arg(self.path("q.sock")).output().unwrap()
    }

    fn json(&self, verb: &str) -> Value {
        let output = self.ask(&[verb, "--json"]);
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }
}

struct Running<'a> {
    world: &'a World,
    child: Child,
}

impl Running<'_> {
    fn wait_until_ready(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        while !self.world.text("err").contains("ready") {
            assert!(self.child.try_wait().unwrap().is_none(), "ended: {}", self.world.text("err"));
            assert!(Instant::now() < deadline, "not ready: {}", self.world.text("err"));
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    fn exit_code(&mut self) -> Option<i32> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            assert!(Instant::now() < deadline, "does not end: {}", self.world.text("err"));
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Counters, then `buffers: N of N returned`; the socket is gone.
fn assert_clean_end(world: &World) {
    let said = world.text("out");
    let counter = said.lines().find_map(|line| line.strip_prefix("received "));
    assert!(counter.is_some_and(|count| count.trim().parse::<u64>().unwrap() > 0), "{said}");
    let last = said.lines().last().unwrap_or_default();
    let words: Vec<&str> = last.split(' ').collect();
    assert!(matches!(words[..], ["buffers:", back, "of", all, "returned"] if back == all), "{said}");
    assert!(!world.path("q.sock").exists());
}

#[test]
fn answers_while_it_runs_and_ends_clean_on_both_signals() {
    let world = World::new(TALKING);
    for signal in [Signal::INT, Signal::TERM] {
        let mut running = world.run();
        running.wait_until_ready();
        let status = world.json("status");
        assert_eq!(
            (&status["ports"][0]["name"], &status["ports"][1]["peer"]),
            (&"left".into(), &"left".into())
        );
        assert_eq!(world.json("flows"), Value::Array(vec![]));
        let deadline = Instant::now() + PATIENCE;
        while world.json("stats")["counters"]["received"] == 0 {
            assert!(Instant::now() < deadline, "no frame was received");
        }
        for verb in ["status", "flows", "stats"] {
            assert_eq!(world.ask(&[verb]).status.code(), Some(0), "{verb}");
        }
        running.signal(signal);
        assert_eq!(running.exit_code(), Some(0), "{}", world.text("err"));
        assert_clean_end(&world);
    }
}

#[test]
fn a_second_appliance_is_refused() {
    let world = World::new(["net_ring0", "net_ring1"]);
    let mut first = world.run();
    first.wait_until_ready();
    let second = Command::new(env!("CARGO_BIN_EXE_quadrille"))
        .args(["run", "--config"])
        .arg(world.path("q.toml"))
        .output()
        .unwrap();
    assert_eq!(second.status.code(), Some(1));
    let said = String::from_utf8(second.stderr).unwrap();
    assert!(said.contains("an appliance is already running behind "), "{said}");
    first.signal(Signal::INT);
    assert_eq!(first.exit_code(), Some(0));
}

#[test]
fn a_device_that_dpdk_cannot_make_is_named_with_its_line() {
    let world = World::new(["net_ring0", "net_pcap0,rx_pcap=/nonexistent.pcap,tx_pcap=/nonexistent.out"]);
    let mut running = world.run();
    assert_eq!(running.exit_code(), Some(2));
    let said = world.text("err");
    let last = said.lines().last().unwrap_or_default();
    let place =
        format!("{}:19:10: port[1].device: port \"right\", device net_pcap0,", at(&world.path("q.toml")));
    assert!(last.starts_with(&place), "{said}");
    assert!(!Path::new("/nonexistent.out").exists());
}

fn at(path: &Path) -> String {
    path.display().to_string()
}
