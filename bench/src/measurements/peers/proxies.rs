//! The proxies, on the router: a port of their own to the client, and the server behind.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, ensure};
use control::lab::{Command, LATE, Net, Process, Ways, wait_until};

use super::Part;
use super::contender::Place;
use super::sockmap::{self, Sockmap};

/// Where Debian has it, in a package of its own.
const STREAM_MODULE: &str = "/usr/lib/nginx/modules/ngx_stream_module.so";

const CONFIG: &str = "config";

/// Its connections at once, beside those that are idle.
const OTHERS: usize = 100;
/// Of HAProxy, two files each; those that find none go through its buffers.
const PIPES: usize = 64;
/// Between two looks at whether it still runs.
const LOOK: Duration = Duration::from_millis(200);

/// One that Debian has, or could be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proxy {
    /// With `splice`, bytes go from socket to socket through a pipe; otherwise through its buffers.
    Haproxy { splice: bool },
    /// The stream module.
    Nginx,
    /// Nobody has it, so it is this program.
    Sockmap,
}

impl Proxy {
    /// Starts it and waits until it listens.
    pub fn start(self, place: &Place, port: u16) -> anyhow::Result<Process> {
        let (ways, router) = (&place.ways, place.ways.router());
        let most = place.idle + OTHERS;
        ensure!(
            self != Proxy::Nginx || Path::new(STREAM_MODULE).exists(),
            "nginx is without {STREAM_MODULE}; it is in Debian's package libnginx-mod-stream: ./dev setup"
        );
        let folder = router.directory().join(port.to_string());
        fs::create_dir_all(&folder).with_context(|| format!("{}: cannot be made", folder.display()))?;
        let fronts = Net::UNTAGGED.map(|net| [ways.near(net), ways.behind(net)]);
        let fronts =
            fronts.map(|all| all.map(|address| std::net::SocketAddr::from((address, port)).to_string()));
        let mut process = self.command(ways, &folder, most, &fronts)?.spawn()?;
        wait_until(&format!("a proxy on port {port}"), LATE, || {
            if !process.is_running()? {
                process.wait(LATE)?.ok()?;
            }
            Ok(router.wait_for_listener(port, LOOK).is_ok())
        })?;
        Ok(process)
    }

    /// In the foreground, and in one process.
    fn command(self, ways: &Ways, folder: &Path, most: usize, fronts: &Fronts) -> anyhow::Result<Command> {
        let file = folder.join(CONFIG);
        let write = |config: String| {
            fs::write(&file, config).with_context(|| format!("{}: cannot be written", file.display()))
        };
        let router = ways.router();
        Ok(match self {
            Proxy::Haproxy { splice } => {
                write(haproxy(splice, most, fronts))?;
                router.command("haproxy").args(["-db", "-f"]).arg(&file)
            }
            Proxy::Nginx => {
                write(nginx(folder, most, fronts))?;
                router.command("nginx").arg("-p").arg(folder).arg("-c").arg(&file)
            }
            Proxy::Sockmap => {
                let [listen, server] = &fronts[0];
                let object = sockmap::compile(folder)?;
                Part::Sockmap(Sockmap { listen: listen.parse()?, server: server.parse()?, object })
                    .on(router)?
            }
        })
    }
}

/// A front for each family, and the server.
type Fronts = [[String; 2]; 2];

fn haproxy(splice: bool, most: usize, fronts: &Fronts) -> String {
    let (global, option) = match splice {
        true => (format!("  maxpipes {PIPES}\n"), "  option splice-request\n  option splice-response\n"),
        false => ("  nosplice\n".to_owned(), ""),
    };
    let mut text = format!(
        "global\n  maxconn {most}\n  nbthread 1\n{global}\
         defaults\n  mode tcp\n{option}  timeout connect 10s\n  timeout client 600s\n  timeout server 600s\n"
    );
    for (index, [front, server]) in fronts.iter().enumerate() {
        text += &format!("listen front{index}\n  bind {front} backlog 4096\n  server server {server}\n");
    }
    text
}

fn nginx(folder: &Path, most: usize, fronts: &Fronts) -> String {
    let folder = folder.display();
    let servers: Vec<String> = fronts
        .iter()
        .map(|[front, server]| {
            format!("  server {{ listen {front} backlog=4096; proxy_pass {server}; proxy_timeout 600s; }}\n")
        })
        .collect();
    // `user root`: in a user namespace there is nobody else.
    format!(
        "load_module {STREAM_MODULE};\n\
         daemon off; master_process off; user root; pid {folder}/pid; error_log {folder}/error.log;\n\
         events {{ worker_connections {sockets}; }}\nstream {{\n{servers}}}\n",
        sockets = 2 * most,
        servers = servers.concat()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fronts() -> Fronts {
        [["10.81.0.2:7", "10.82.0.2:7"], ["[fd81::2]:7", "[fd82::2]:7"]].map(|all| all.map(str::to_owned))
    }

    #[test]
    fn splicing_is_said_or_forbidden() {
        let with = haproxy(true, 9, &fronts());
        assert!(with.contains("option splice-response") && !with.contains("nosplice"), "{with}");
        let without = haproxy(false, 9, &fronts());
        assert!(without.contains("nosplice") && !without.contains("option splice"), "{without}");
    }

    #[test]
    fn both_families_have_a_front() {
        for text in [haproxy(false, 9, &fronts()), nginx(Path::new("/x"), 9, &fronts())] {
            for address in fronts().concat() {
                assert!(text.contains(&address), "{address} is missing in\n{text}");
            }
        }
    }
}
