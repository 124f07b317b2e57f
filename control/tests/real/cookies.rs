//! Clients that are answered with SYN cookies: kernels, and among SYNs that nobody means (DESIGN section 4).

use control::lab::{Appliance, Isn, Lab, Merge, Net, Result, Setup, expect, isolated, wait_until};

use crate::EXECUTABLE;
use crate::traffic::{
    Conversation, MEGABYTE, SOON, client_closes_first, download, parallel, server_closes_first, server_name,
    upload,
};

/// See there for what its commands do.
const PROGRAM: &str = include_str!("cookies.py");

fn counters<const N: usize>(appliance: &Appliance, names: [&str; N]) -> Result<[u64; N]> {
    let mut counts = [0; N];
    for (count, name) in counts.iter_mut().zip(names) {
        *count = appliance.counter(name)?;
    }
    Ok(counts)
}

/// Whatever they offer in their SYNs, bytes are exact, flows merge, and either end closes when it likes.
#[test]
fn kernels_are_served_by_cookies() {
    isolated("cookies::kernels_are_served_by_cookies", |inside| {
        let lab = Lab::builder(inside, EXECUTABLE).build()?;
        let settings = [
            ("tcp_timestamps", "1"),
            ("tcp_timestamps", "0"),
            ("tcp_sack", "0"),
            ("tcp_window_scaling", "0"),
        ];
        for (merge, path) in [(Merge::Established, "cut_through"), (Merge::Never, "participating")] {
            let setup = Setup::relay(merge, Isn::Mirror).module_keys("cookies = \"always\"\n");
            let appliance = lab.appliance(&setup)?;
            for (setting, value) in settings {
                lab.client().set(&format!("net/ipv4/{setting}"), value)?;
                for net in Net::UNTAGGED {
                    let mut talk = Conversation::open(&lab, net, 7000, 3000)?;
                    appliance.wait_for_flow(&server_name(&lab, net, 7000), path, SOON)?;
                    talk.say(2000)?;
                    drop(talk);
                    client_closes_first(&lab, net)?;
                    server_closes_first(&lab, net)?;
                    upload(&lab, net, MEGABYTE)?;
                    download(&lab, net, MEGABYTE)?;
                }
            }
            for (setting, _) in settings {
                lab.client().set(&format!("net/ipv4/{setting}"), "1")?;
            }
            let [sent, accepted, offered] =
                counters(&appliance, ["cookies_sent", "cookies_accepted", "flows_offered"])?;
            expect(
                offered == 0 && accepted >= 40 && sent >= accepted,
                "all by cookies",
                format!("{sent} {accepted} {offered}"),
            )?;
        }
        Ok(())
    });
}

/// Nobody listens: it is told so by a RST, though it has a connection already.
#[test]
fn a_refusal_comes_as_a_reset() {
    isolated("cookies::a_refusal_comes_as_a_reset", |inside| {
        let lab = Lab::builder(inside, EXECUTABLE).build()?;
        let appliance =
            lab.appliance(&Setup::relay(Merge::Never, Isn::Mirror).module_keys("cookies = \"always\"\n"))?;
        for net in Net::UNTAGGED {
            let address = lab.server().address(net).to_string();
            let script = "import socket, sys\n\
                made = socket.create_connection((sys.argv[1], 9999), 10)\n\
                try: print(made.recv(1))\n\
                except ConnectionResetError: print('reset')\n";
            let said = lab.client().command("python3").args(["-c", script, &address]).timeout(SOON).ok()?;
            expect(said.trim() == "reset", "a reset", said)?;
        }
        let [accepted] = counters(&appliance, ["cookies_accepted"])?;
        expect(accepted == 2, "2 clients with cookies", accepted.to_string())
    });
}

/// More SYNs than there are places, from clients that are not there: who is there connects at its first try. As many as are
/// under way when the worker is told may have to make room, all of the flood.
#[test]
fn a_flood_displaces_nobody() {
    isolated("cookies::a_flood_displaces_nobody", |inside| {
        let lab = Lab::builder(inside, EXECUTABLE).build()?;
        // A quarter of them for one prefix, as a configuration has it that says nothing of it; and as many as there are.
        for limits in ["suspended = 1024\n", "suspended = 1024\nsuspended_per_source = 1024\n"] {
            let setup = Setup::relay(Merge::Established, Isn::Mirror).limits(limits);
            let appliance = lab.appliance(&setup.module_keys("cookies = \"under-flood\"\n"))?;
            for net in Net::UNTAGGED {
                flood(&lab, &appliance, net)?;
            }
            let [floods, oldest, full] =
                counters(&appliance, ["floods", "drop_suspended_oldest", "drop_events_full"])?;
            let shown = format!("{floods} {oldest} {full}");
            expect(floods >= 1 && oldest < 200 && full == 0, "a flood, and nobody displaced", shown)?;
        }
        let repeated = lab.client().command("nstat").args(["-az", "TcpExtTCPSynRetrans"]).ok()?;
        let none = repeated.lines().any(|line| line.split_whitespace().nth(1) == Some("0"));
        expect(none, "no SYN that had to be repeated", repeated)
    });
}

fn flood(lab: &Lab, appliance: &Appliance, net: Net) -> Result<()> {
    lab.client().wait_for_echo(lab.server().address(net), SOON)?;
    let [before] = counters(appliance, ["cookies_sent"])?;
    let address = lab.server().address(net).to_string();
    let hardware = lab.server().hardware_address(net)?;
    let flood = ["-c", PROGRAM, "flood", &address, &hardware, "80", "20000"];
    let mut flood = lab.client().command("python3").args(flood).timeout(SOON * 3).spawn()?;
    wait_until("a flood", SOON, || Ok(counters(appliance, ["cookies_sent"])? > [before + 1000]))?;
    let status = appliance.status()?;
    let is_told = status["cores"]["flooded"] == status["cores"]["workers"];
    expect(is_told, "a flooded worker", status.to_string())?;
    parallel(lab, net, 50)?;
    download(lab, net, MEGABYTE)?;
    flood.wait(SOON * 3)?.ok()?;
    Ok(())
}
