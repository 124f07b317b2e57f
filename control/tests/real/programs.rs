//! Programs at a delayed listener: the examples of `listener/`, in both languages, decide about real connections.

use std::path::{Path, PathBuf};
use std::time::Duration;

use control::lab::{
    Appliance, Command, Connected, Isn, Lab, Merge, Net, Process, Result, Setup, expect, isolated,
};
use rustix::process::Signal;

use crate::EXECUTABLE;
use crate::traffic::SOON;

/// See there for what its commands do.
const CLIENT: &str = include_str!("programs.py");

const ECHO: u16 = 7;
const PAGE: u16 = 80;
/// Nothing listens there, and the examples proxy it.
const NOBODY: u16 = 9000;

/// The folder of the library and its examples.
const LISTENER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../listener");

/// Where cargo has put an example; built first when only this package's tests are being run.
fn rust_example(name: &str) -> PathBuf {
    let folder = Path::new(EXECUTABLE).parent().unwrap_or(Path::new("")).join("examples");
    folder.join(name)
}

fn build_examples() {
    // Outside of the lab, which has no network and another /run.
    if std::process::id() != 1 {
        let line = "build --locked --quiet -p quadrille-listener --examples";
        let built = std::process::Command::new(env!("CARGO")).args(line.split(' ')).status();
        assert!(built.is_ok_and(|status| status.success()), "cargo {line}");
    }
}

/// Compiles an example as strictly as C99 can be meant.
fn c_example(lab: &Lab, name: &str) -> Result<PathBuf> {
    let out = lab.client().directory().join(name);
    let sources = [format!("{LISTENER}/c/quadrille.c"), format!("{LISTENER}/c/examples/{name}.c")];
    let flags = "-std=c99 -pedantic -Wall -Wextra -Wconversion -Werror -O1 -g -fsanitize=undefined -pthread";
    let compiler = Command::new("cc").words(flags).arg(format!("-I{LISTENER}/c")).arg("-o").arg(&out);
    compiler.args(&sources).timeout(Duration::from_secs(60)).ok()?;
    Ok(out)
}

struct Filter {
    appliance: Appliance,
    socket: PathBuf,
}

/// An appliance that asks programs about everything, and refuses what they do not decide about within 300 ms.
fn filter(lab: &Lab) -> Result<Filter> {
    let folder = lab.client().directory();
    let (management, socket) = (folder.join("q.sock"), folder.join("filter.sock"));
    let keys = format!(
        "kind = \"program\"\nsocket = {:?}\ndeadline = \"300ms\"\ndefault = \"reject\"",
        socket.display().to_string()
    );
    let text = Setup::relay(Merge::Established, Isn::Mirror).toml(&management, 1);
    let text = text.replace("kind = \"relay\"", &keys);
    Ok(Filter { appliance: lab.appliance_from(&text, management)?, socket })
}

fn program(path: &Path, filter: &Filter, arguments: &str) -> Result<Process> {
    let mut program = Command::new(path).arg(&filter.socket).words(arguments).spawn()?;
    program.wait_for_text("listening", SOON)?;
    Ok(program)
}

fn client(lab: &Lab, net: Net, command: &str, port: u16) -> Command {
    let address = lab.server().address(net).to_string();
    let client = lab.client().command("python3").args(["-c", CLIENT, command, &address, &port.to_string()]);
    client.timeout(Duration::from_secs(60))
}

fn outcome(lab: &Lab, net: Net, port: u16, wanted: Connected) -> Result<()> {
    let (got, after) = lab.client().connect(lab.server().address(net), port, Duration::from_secs(2))?;
    expect(got == wanted, format!("{wanted:?} from port {port}"), format!("{got:?} after {after:?}"))
}

/// Everything that `serve`, in either language, does.
fn served(lab: &Lab, path: &Path) -> Result<()> {
    let filter = filter(lab)?;
    for net in Net::UNTAGGED {
        lab.client().wait_for_echo(lab.server().address(net), SOON)?;
        outcome(lab, net, ECHO, Connected::Refused)?;
    }
    expect(filter.appliance.counter("programs_absent")? == 2, "2 without a program", filter.appliance.log())?;
    let mut program = program(path, &filter, &format!("{ECHO} {PAGE}"))?;
    for net in Net::UNTAGGED {
        client(lab, net, "echo", ECHO).ok()?;
        program.wait_for_text("echoed 10000000 bytes", SOON)?;
        // Nobody listens: the program is told so, and answers in the server's place.
        let got = lab.client().command("curl").words("-s -w %{http_code} --max-time 10");
        let got = got.arg(lab.server().url(net, PAGE, "")).ok()?;
        expect(got == "maintenance\n503", "the page", got)?;
        outcome(lab, net, NOBODY, Connected::Refused)?;
        client(lab, net, "reset", ECHO).ok()?;
    }
    client(lab, Net::V4, "slow", ECHO).ok()?;
    let _nginx = lab.server().nginx().port(PAGE).port(8080).text("hello", "hello").start()?;
    for port in [PAGE, 8080] {
        let got = lab.client().curl(&lab.server().url(Net::V6, port, "hello")).ok()?;
        expect(got == "hello", "the server's own", got)?;
    }
    expect(filter.appliance.counter("merges")? >= 2, "merges", filter.appliance.stats()?.to_string())?;
    stopped_and_killed(lab, &filter, program)
}

/// A program that does not answer, and one that dies with a connection open.
fn stopped_and_killed(lab: &Lab, filter: &Filter, mut program: Process) -> Result<()> {
    let mut held = client(lab, Net::V4, "hold", ECHO).spawn()?;
    held.wait_for_text("up", SOON)?;
    program.signal(Signal::STOP)?;
    outcome(lab, Net::V6, ECHO, Connected::Refused)?;
    expect(filter.appliance.counter("programs_late")? == 1, "one late", filter.appliance.log())?;
    program.signal(Signal::CONT)?;
    client(lab, Net::V6, "echo", ECHO).ok()?;

    program.signal(Signal::KILL)?;
    program.wait(SOON)?;
    let ended = held.wait(SOON)?.ok()?;
    expect(ended.ends_with("end\n"), "a FIN, as from a kernel", ended)?;
    outcome(lab, Net::V4, ECHO, Connected::Refused)?;
    // Nothing is left of what it had.
    control::lab::wait_until("no flow is left", SOON * 2, || {
        Ok(filter.appliance.stats()?["tables"]["participating"]["used"].as_u64() == Some(0))
    })
}

#[test]
fn a_rust_program_serves_and_decides() {
    build_examples();
    isolated("programs::a_rust_program_serves_and_decides", |inside| {
        let lab = Lab::builder(inside, EXECUTABLE).build()?;
        served(&lab, &rust_example("serve"))
    });
}

#[test]
fn a_port_opens_to_who_knocks() {
    build_examples();
    isolated("programs::a_port_opens_to_who_knocks", |inside| {
        let lab = Lab::builder(inside, EXECUTABLE).build()?;
        let filter = filter(&lab)?;
        let _nginx = lab.server().nginx().port(8022).port(7001).start()?;
        let _program = program(&rust_example("knock"), &filter, "8022 7001 7002 7001")?;
        for net in Net::UNTAGGED {
            lab.client().wait_for_echo(lab.server().address(net), SOON)?;
            outcome(&lab, net, 8022, Connected::Silence)?;
            for knock in [7001, 7002, 7001] {
                outcome(&lab, net, knock, Connected::Silence)?;
            }
            outcome(&lab, net, 8022, Connected::Yes)?;
        }
        Ok(())
    });
}

#[test]
fn a_c_program_serves_and_decides() {
    isolated("programs::a_c_program_serves_and_decides", |inside| {
        let lab = Lab::builder(inside, EXECUTABLE).build()?;
        let serve = c_example(&lab, "serve")?;
        served(&lab, &serve)
    });
}

#[test]
fn a_c_program_prohibits() {
    isolated("programs::a_c_program_prohibits", |inside| {
        let lab = Lab::builder(inside, EXECUTABLE).build()?;
        let filter = filter(&lab)?;
        let _program = program(&c_example(&lab, "guard")?, &filter, "80 443")?;
        let _nginx = lab.server().nginx().port(80).port(8080).start()?;
        for net in Net::UNTAGGED {
            lab.client().wait_for_echo(lab.server().address(net), SOON)?;
            outcome(&lab, net, 80, Connected::Yes)?;
            outcome(&lab, net, 443, Connected::Refused)?;
            outcome(&lab, net, 8080, Connected::Unreachable)?;
        }
        Ok(())
    });
}
