//! `overread serve`: the service, until SIGTERM or Ctrl-C.
use std::{path::PathBuf, process::ExitCode};

use clap::Args;
use tokio::signal::unix::{SignalKind, signal};

use crate::{
    cli::{fail, runtime},
    config::{Config, Override},
    error::{Code, Error, Result},
    server::Server,
    telemetry,
};

/// Options of `overread serve`. Every option can also be a key of the file or a variable `OVERREAD_SECTION_KEY`.
#[derive(Debug, Args)]
pub(super) struct ServeArgs {
    /// TOML file; `--print-config` shows every key with its value
    #[arg(long, value_name = "FILE", env = "OVERREAD_CONFIG")]
    config: Option<PathBuf>,
    /// Address of the gRPC API; port 0 takes a free one [default: 127.0.0.1:7410]
    #[arg(long, value_name = "HOST:PORT")]
    listen: Option<String>,
    /// Address of the DICOM port, for C-ECHO and C-STORE; 11112 is usual [default: none]
    #[arg(long, value_name = "HOST:PORT")]
    dicom: Option<String>,
    /// AE title that DICOM senders call [default: OVERREAD]
    #[arg(long, value_name = "TITLE")]
    title: Option<String>,
    /// Folder of everything durable [default: overread-data]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Folder of models [default: models, else beside the installed binary]
    #[arg(long, value_name = "DIR", env = "OVERREAD_MODELS")]
    models_dir: Option<PathBuf>,
    /// Any other key of the configuration, for example `--set study.quiet_period_s=20`
    #[arg(long = "set", value_name = "SECTION.KEY=VALUE")]
    set: Vec<String>,
    /// Write the address here once it serves (for scripts that start it on port 0); those of DICOM ports in lines below
    #[arg(long, value_name = "FILE")]
    ready_file: Option<PathBuf>,
    /// Print the configuration in force and stop
    #[arg(long)]
    print_config: bool,
}

/// Runs the service. Exit status 0 after an orderly stop, 1 after a failure, 2 for a configuration that is not valid.
#[must_use]
pub(super) fn run(args: &ServeArgs) -> ExitCode {
    match serve(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

fn serve(args: &ServeArgs) -> Result<()> {
    let config = Config::load(args.config.as_deref(), std::env::vars(), &overrides(args)?)?;
    if args.print_config {
        print!("{}", config.to_toml()?);
        return Ok(());
    }
    telemetry::start(&config.log)?;
    let runtime = runtime()?;
    let served = runtime.block_on(async {
        let mut terminate = watch_signal(SignalKind::terminate())?;
        let mut interrupt = watch_signal(SignalKind::interrupt())?;
        let server = Server::start(config).await?;
        println!(
            "overread serves gRPC on {} (research use only; plain text, no accounts: keep it on loopback)",
            server.address
        );
        for address in &server.dicom_addresses {
            println!("overread serves DICOM on {address}");
        }
        if let Some(path) = &args.ready_file {
            write_ready(path, &ready_lines(&server))?;
        }
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        server.stop().await
    });
    // Everything durable is written. A model that never ends must not keep the process.
    runtime.shutdown_background();
    served
}

fn overrides(args: &ServeArgs) -> Result<Vec<Override>> {
    let path = |value: &Option<PathBuf>| value.as_ref().map(|path| path.display().to_string());
    let named = [
        ("server.listen", args.listen.clone()),
        ("dimse.listen", args.dicom.clone()),
        ("dimse.title", args.title.clone()),
        ("server.data_dir", path(&args.data_dir)),
        ("server.models_dir", path(&args.models_dir)),
    ];
    let mut all: Vec<Override> =
        named.into_iter().filter_map(|(key, value)| value.map(|value| (key.to_owned(), value))).collect();
    for pair in &args.set {
        all.push(parse_set(pair)?);
    }
    Ok(all)
}

/// `section.key=value`.
pub(super) fn parse_set(pair: &str) -> Result<Override> {
    match pair.split_once('=') {
        Some((key, value)) => Ok((key.trim().to_owned(), value.trim().to_owned())),
        None => Err(Error::new(Code::InvalidArgument, format!("--set wants SECTION.KEY=VALUE, not {pair:?}"))),
    }
}

fn watch_signal(kind: SignalKind) -> Result<tokio::signal::unix::Signal> {
    signal(kind).map_err(|_| Error::internal("signals cannot be watched"))
}

fn ready_lines(server: &Server) -> String {
    let addresses = [server.address].into_iter().chain(server.dicom_addresses.iter().copied());
    addresses.map(|address| address.to_string()).collect::<Vec<_>>().join("\n")
}

/// Whole or not at all: a script that polls for the file never reads half an address.
fn write_ready(path: &std::path::Path, address: &str) -> Result<()> {
    let part = path.with_extension("part");
    let written = std::fs::write(&part, address).and_then(|()| std::fs::rename(&part, path));
    written
        .map_err(|e| Error::new(Code::InvalidArgument, format!("{} cannot be written ({})", path.display(), e.kind())))
}
