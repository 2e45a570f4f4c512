//! The command line: one file a subcommand. Data go to stdout, talk to stderr.
//!
//! In: arguments.   Out: an exit status. The only room that prints.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "this room is the one that prints")]

mod analyze;
mod explain;
mod export;
mod gather;
mod inspect;
mod models;
mod nifti;
mod objects;
mod outcome;
mod overlays;
mod serve;
mod table;
mod volumes;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::dicom;
use crate::error::{Error, Result};
use serve::parse_set;

/// The arguments of the binary.
#[derive(Debug, Parser)]
#[command(
    name = "overread",
    version,
    about = "A second reader for radiology: DICOM studies in, calibrated findings with heatmaps out.",
    long_about = "A second reader for radiology: DICOM studies in, calibrated findings with heatmaps out.\n\n\
        Research use only. Not a medical device.",
    after_help = "\
First steps:
  overread analyze chest.dcm        findings of one file, without a server
  overread serve                    the service; then, elsewhere:
  overread analyze chest.dcm --server http://127.0.0.1:7410
  overread export STUDY results     its results as DICOM objects, for a PACS or a viewer
  overread inspect chest.dcm        what a model will see of a file
  overread inspect FOLDER --stage volume    the same of the series in a folder
  overread models list              what can be looked for"
)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the service until SIGTERM or Ctrl-C
    Serve(serve::ServeArgs),
    /// Send files and show what was found
    Analyze(analyze::AnalyzeArgs),
    /// Show why a study was treated as it was
    Explain(explain::ExplainArgs),
    /// Write the results of a study as DICOM objects
    Export(export::ExportArgs),
    /// Show what a model will see of a file, or of the series of a folder
    Inspect(inspect::Args),
    /// List, verify or install models
    Models(models::Args),
    /// The nursery of decode workers; the service starts it, nobody else
    #[command(hide = true)]
    DecodeWorker,
}

impl Cli {
    /// Runs the subcommand.
    #[must_use]
    pub fn run(&self) -> ExitCode {
        tell_panics_by_place();
        match &self.command {
            Command::Serve(args) => serve::run(args),
            Command::Analyze(args) => analyze::run(args),
            Command::Explain(args) => explain::run(args),
            Command::Export(args) => export::run(args),
            Command::Inspect(args) => inspect::run(args),
            Command::Models(args) => models::run(args),
            Command::DecodeWorker => dicom::run_worker(),
        }
    }
}

/// Says what went wrong and what to do, and gives the code's exit status.
fn fail(error: &Error) -> ExitCode {
    eprintln!("overread: {error}\n  {}\n  do: {}", error.code.row().means, error.code.row().remedy);
    ExitCode::from(error.code.row().exit)
}

/// A panic's text may quote what was being read, and a decoder's is of no use to anyone here: its place is told alone.
fn tell_panics_by_place() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        match tracing::dispatcher::has_been_set() {
            true => tracing::error!(place, "panic"),
            false => eprintln!("overread: panic at {place}"),
        }
    }));
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.map_err(|_| Error::internal("the threads do not start"))
}
