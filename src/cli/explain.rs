//! `overread explain`: why a study was treated as it was.
use std::process::ExitCode;

use clap::Args;

use super::{fail, runtime, table};
use crate::{error::Result, gate::grpc::client::Client, uid::Uid};

/// Options of `overread explain`.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  overread explain 1.2.840.113619.2.1 --server http://127.0.0.1:7410

Shows what sealed the study, which models were chosen, which were not and by which clause of their manifest, how often each was
started, and what was refused.")]
pub(super) struct ExplainArgs {
    /// Study Instance UID
    #[arg(value_name = "STUDY")]
    study: String,
    /// Revision of the study [default: the current one]
    #[arg(long)]
    revision: Option<u32>,
    /// The server that holds it
    #[arg(long, value_name = "URL", env = "OVERREAD_SERVER", default_value = "http://127.0.0.1:7410")]
    server: String,
}

/// Runs the command.
#[must_use]
pub(super) fn run(args: &ExplainArgs) -> ExitCode {
    match runtime().and_then(|runtime| runtime.block_on(explain(args))) {
        Ok(text) => {
            print!("{text}");
            ExitCode::SUCCESS
        }
        Err(error) => fail(&error),
    }
}

async fn explain(args: &ExplainArgs) -> Result<String> {
    let study = Uid::parse(&args.study)?;
    let client = Client::connect(&args.server).await?;
    Ok(table::explanation(&client.explain(&study, args.revision).await?))
}
