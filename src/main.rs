//! The binary: prepares the process, then hands over to the command line.
use clap::Parser;

fn main() -> std::process::ExitCode {
    overread::infer::prepare_process();
    overread::cli::Cli::parse().run()
}
