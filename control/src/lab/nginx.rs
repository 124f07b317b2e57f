//! nginx in the foreground on one of the lab's hosts, with real files.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use super::endpoint::Endpoint;
use super::error::{LabError, Result};
use super::files::{sha256, write_random};
use super::process::Process;
use super::wait::LATE;

/// What an nginx is to listen on and to serve.
#[derive(Debug)]
#[must_use = "nothing is started before start"]
pub struct NginxBuilder<'a> {
    endpoint: &'a Endpoint,
    ports: Vec<u16>,
    texts: Vec<(String, String)>,
    random: Vec<(String, usize)>,
}

/// A running nginx; it ends when this is dropped.
#[derive(Debug)]
pub struct Nginx {
    /// The master process.
    pub process: Process,
    root: PathBuf,
}

impl Endpoint {
    /// Starts describing an nginx on this host: port 80 of both families unless ports are given.
    pub fn nginx(&self) -> NginxBuilder<'_> {
        NginxBuilder { endpoint: self, ports: Vec::new(), texts: Vec::new(), random: Vec::new() }
    }
}

impl NginxBuilder<'_> {
    /// Listens on this port, IPv4 and IPv6.
    pub fn port(mut self, port: u16) -> Self {
        self.ports.push(port);
        self
    }

    /// Serves a text under this name.
    pub fn text(mut self, name: &str, content: &str) -> Self {
        self.texts.push((name.into(), content.into()));
        self
    }

    /// Serves so many pseudo-random bytes under this name.
    pub fn random(mut self, name: &str, bytes: usize) -> Self {
        self.random.push((name.into(), bytes));
        self
    }

    /// Writes files and configuration, starts the server and waits until it listens.
    ///
    /// # Errors
    /// [`LabError::MissingTool`], or nginx's own words when it does not like its configuration.
    pub fn start(mut self) -> Result<Nginx> {
        if self.ports.is_empty() {
            self.ports.push(80);
        }
        let folder = self.endpoint.directory().join("nginx");
        let root = folder.join("root");
        fs::create_dir_all(&root).map_err(LabError::io(format!("creating {}", root.display())))?;
        for (seed, (name, bytes)) in (1u64..).zip(&self.random) {
            write_random(&root.join(name), *bytes, seed << 16)?;
        }
        for (name, content) in &self.texts {
            fs::write(root.join(name), content).map_err(LabError::io(format!("writing {name}")))?;
        }
        let config = folder.join("nginx.conf");
        fs::write(&config, self.config(&folder)).map_err(LabError::io("writing nginx.conf"))?;
        let mut process =
            self.endpoint.command("nginx").arg("-p").arg(&folder).arg("-c").arg(&config).spawn()?;
        for port in &self.ports {
            let up = self.endpoint.wait_for_listener(*port, LATE);
            if up.is_err() && !process.is_running()? {
                process.wait(LATE)?.ok()?;
            }
            up?;
        }
        Ok(Nginx { process, root })
    }

    fn config(&self, folder: &std::path::Path) -> String {
        let folder = folder.display();
        let mut listen = String::new();
        for port in &self.ports {
            // Writing to a String cannot fail.
            let _ = writeln!(listen, "    listen {port} backlog=4096; listen [::]:{port} backlog=4096;");
        }
        // `user root`: in a user namespace there is nobody else.
        format!(
            "daemon off; user root; worker_processes 1; pid {folder}/pid; error_log {folder}/error.log;\n\
             events {{ worker_connections 4096; }}\n\
             http {{\n  access_log off; sendfile on; default_type application/octet-stream;\n  \
             client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; \
             fastcgi_temp_path {folder}/fastcgi;\n  \
             uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;\n  \
             server {{\n    root {folder}/root;\n{listen}  }}\n}}\n"
        )
    }
}

impl Nginx {
    /// Where a served file lies.
    pub fn file(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// The SHA-256 of a served file.
    ///
    /// # Errors
    /// As [`sha256`].
    pub fn sha256(&self, name: &str) -> Result<String> {
        sha256(&self.file(name))
    }
}
