//! The real binary, started and stopped as an administrator or a power cut would.
use std::{
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
};

/// A running `overread serve` on a free port of loopback.
pub struct ServerProcess {
    child: Child,
    /// `http://127.0.0.1:PORT`.
    pub url: String,
    /// `127.0.0.1:PORT` of the DICOM port, where `dimse.listen` opened one.
    pub dicom: Option<String>,
    log: PathBuf,
}

/// Starts `overread serve` over `data` with the models of `models` and more `--set` pairs; waits until it is ready.
///
/// Its log is appended to `data/../server.log`. Panics with the log when the server ends before it is ready.
pub fn start(data: &Path, models: &Path, sets: &[&str]) -> ServerProcess {
    let home = data.parent().expect("the data folder lies in a folder of the test");
    let ready = home.join("ready");
    // The file of an earlier start must not answer for this one.
    let _absent = std::fs::remove_file(&ready);
    let log = home.join("server.log");
    let log_file = std::fs::OpenOptions::new().create(true).append(true).open(&log).expect("the log opens");
    let mut command = Command::new(env!("CARGO_BIN_EXE_overread"));
    command.arg("serve").args(["--listen", "127.0.0.1:0"]).arg("--data-dir").arg(data).arg("--models-dir").arg(models);
    command.arg("--ready-file").arg(&ready);
    for set in sets {
        command.args(["--set", set]);
    }
    let child = command.stdout(Stdio::null()).stderr(log_file).spawn().expect("the server starts");
    let mut server = ServerProcess { child, url: String::new(), dicom: None, log };
    loop {
        if let Ok(addresses) = std::fs::read_to_string(&ready) {
            let mut lines = addresses.lines().map(str::to_owned);
            server.url = format!("http://{}", lines.next().expect("an address"));
            server.dicom = lines.next();
            return server;
        }
        if let Some(status) = server.child.try_wait().expect("the server can be asked") {
            panic!("the server ended with {status} before it was ready:\n{}", server.log());
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}

impl ServerProcess {
    /// SIGKILL: nothing is flushed, nothing is said.
    pub fn kill(mut self) {
        self.child.kill().expect("the server can be killed");
        self.child.wait().expect("the server ends");
    }

    /// SIGTERM, and what the server ended with.
    pub fn terminate(mut self) -> ExitStatus {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args(["-TERM", &pid]).status().expect("kill runs");
        assert!(sent.success());
        self.child.wait().expect("the server ends")
    }

    /// All that servers of this test have logged so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Process id, to look at its memory.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        // A failed test must not leave a server behind; an ended one cannot be killed, which is fine.
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}
