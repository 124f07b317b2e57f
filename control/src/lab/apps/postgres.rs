//! PostgreSQL and pgbench: a cluster of its own in the lab's folder, which ends with the lab.

use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::lab::command::Command;
use crate::lab::endpoint::Net;
use crate::lab::error::{LabError, Result, expect};
use crate::lab::process::Process;
use crate::lab::topology::Lab;

use super::{GRACE, START, exchange};

/// Where Debian has a folder for each version.
const VERSIONS: &str = "/usr/lib/postgresql";

/// The server refuses to be root.
const USER: &str = "postgres";

/// Connections of one run.
const CLIENTS: &str = "-c 8 -j 2";

/// Between two transactions of one connection, of eight at a time on a small machine.
const TURN: Duration = Duration::from_micros(500);

/// A running server with pgbench's tables.
#[derive(Debug)]
pub struct Postgres {
    _process: Process,
    programs: PathBuf,
    folder: PathBuf,
}

/// What a transaction is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transaction {
    /// One SELECT: one round trip.
    Select,
    /// pgbench's default, seven statements that move money about.
    TpcB,
}

impl Postgres {
    /// Makes a cluster, starts it and fills pgbench's tables.
    ///
    /// # Errors
    /// [`LabError::MissingTool`], [`LabError::NeedsRoot`] in a user namespace, which has no user but root; the
    /// programs' own words.
    pub fn start(lab: &Lab) -> Result<Postgres> {
        if lab.is_rootless() {
            return Err(LabError::NeedsRoot { what: "PostgreSQL, which runs as another user,".into() });
        }
        let programs = programs()?;
        let folder = lab.server().directory().join("postgres");
        fs::create_dir_all(&folder).map_err(LabError::io(format!("creating {}", folder.display())))?;
        Command::new("chown").arg(USER).arg(&folder).ok()?;
        let data = folder.join("data");
        let initdb =
            as_user(lab, &programs.join("initdb")).words("-A trust -U lab -E UTF8 --locale=C --no-sync");
        initdb.arg("-D").arg(&data).timeout(GRACE).ok()?;
        let hosts =
            [Net::V4, Net::V6].map(|net| format!("host all all {}/{} trust\n", net.host(0), net.prefix()));
        fs::write(data.join("pg_hba.conf"), format!("local all all trust\n{}", hosts.concat()))
            .map_err(LabError::io("writing pg_hba.conf"))?;
        let server = as_user(lab, &programs.join("postgres")).arg("-D").arg(&data);
        // Nothing has to survive: what is measured is the connection.
        let server = server.words(
            "-c listen_addresses=* -c fsync=off -c synchronous_commit=off -c full_page_writes=off \
             -c dynamic_shared_memory_type=mmap -c autovacuum=off",
        );
        let mut process =
            server.arg("-c").arg(format!("unix_socket_directories={}", folder.display())).spawn()?;
        process.wait_for_text("ready to accept connections", START)?;
        let postgres = Postgres { _process: process, programs, folder };
        postgres.local(lab, "pgbench").words("-q -i -s 1 postgres").timeout(GRACE).ok()?;
        Ok(postgres)
    }

    /// A client of the server's own host, through its Unix socket.
    fn local(&self, lab: &Lab, program: &str) -> Command {
        as_user(lab, &self.programs.join(program)).words("-U lab -h").arg(&self.folder)
    }

    /// SELECTs for each connection that take about `time`, when `loss` (0 to 1) of the segments are lost. By number:
    /// pgbench's own time begins before its connections are there, and lost SYNs may leave nothing of it.
    pub fn selects_for(time: Duration, round_trip: Duration, loss: f64) -> usize {
        let turns = time.as_secs_f64() / exchange(round_trip + TURN, loss).as_secs_f64();
        turns.max(2.0) as usize
    }

    /// So many transactions on each of eight connections; transactions a second, once these are established.
    ///
    /// # Errors
    /// pgbench's own words, [`LabError::Timeout`] when it does not come to an end.
    pub fn run(
        &self,
        lab: &Lab,
        address: IpAddr,
        (what, count): (Transaction, usize),
        within: Duration,
    ) -> Result<f64> {
        let pgbench = lab.client().command(&self.programs.join("pgbench").to_string_lossy());
        let pgbench = pgbench.words("-n -U lab -h").arg(address.to_string()).words(CLIENTS);
        let pgbench = if what == Transaction::Select { pgbench.arg("-S") } else { pgbench };
        let told = pgbench.arg("-t").arg(count.to_string()).arg("postgres").timeout(within).ok()?;
        let tps = told.lines().find_map(|line| line.strip_prefix("tps = ")?.split(' ').next()?.parse().ok());
        tps.ok_or_else(|| LabError::Unexpected { expected: "pgbench's tps".into(), got: told })
    }

    /// Whether every transaction that was acknowledged is whole: accounts, tellers and branches agree with the history.
    ///
    /// # Errors
    /// [`LabError::Unexpected`] with the sums.
    pub fn is_consistent(&self, lab: &Lab) -> Result<()> {
        let query = "select (select sum(abalance) from pgbench_accounts), (select sum(tbalance) from pgbench_tellers), \
                     (select sum(bbalance) from pgbench_branches), (select sum(delta) from pgbench_history)";
        let psql = self.local(lab, "psql").words("-A -t -d postgres -c").arg(query);
        let told = psql.ok()?;
        let sums: Vec<&str> = told.trim().split('|').collect();
        let same = sums.len() == 4 && !sums[0].is_empty() && sums.iter().all(|sum| *sum == sums[0]);
        expect(same, "the same sum four times", told.clone())
    }
}

fn as_user(lab: &Lab, program: &Path) -> Command {
    let words = format!("--reuid={USER} --regid={USER} --clear-groups --");
    lab.server().command("setpriv").words(&words).arg(program)
}

/// The folder of the newest version's programs.
fn programs() -> Result<PathBuf> {
    let versions = fs::read_dir(VERSIONS).into_iter().flatten().flatten().map(|entry| entry.path());
    let newest = versions.filter(|version| version.join("bin/initdb").is_file()).max_by_key(|version| {
        version.file_name().and_then(|name| name.to_str()).and_then(|name| name.parse::<u32>().ok())
    });
    newest.map(|version| version.join("bin")).ok_or_else(|| LabError::MissingTool {
        tool: "initdb".into(),
        advice: "it is in Debian's package postgresql: ./dev setup, or apt-get install postgresql".into(),
    })
}
