//! `overread export`: the result objects of a study that a server holds, as DICOM files.
use std::{path::PathBuf, process::ExitCode};

use clap::Args;

use super::{
    fail,
    objects::{self, Profile},
    runtime,
};
use crate::{error::Result, gate::grpc::client::Client, uid::Uid};

/// Options of `overread export`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  overread export 1.2.840.113619.2.1 results                         everything that was made of the study
  overread export 1.2.840.113619.2.1 results --profile ohif          what viewers of OHIF's family show
  storescu -R -aec PACS pacs.hospital 104 results/1.2.840.113619.2.1/*.dcm      and on to an archive (DCMTK)

Writes results/<Study Instance UID>/<kind>-<model>-<number>.dcm. The same revision gives the same files under the same UIDs, so that
sending them twice does no harm. Results of a study that is still open or running come once its report is complete.

The objects hold the patient's name and ID as the images do. They say that they are AI results, unverified, for research use.")]
pub(super) struct ExportArgs {
    /// Study Instance UID
    #[arg(value_name = "STUDY")]
    study: String,
    /// Folder to write into
    #[arg(value_name = "OUT")]
    out: PathBuf,
    /// Which objects
    #[arg(long, value_enum, default_value_t = Profile::All)]
    profile: Profile,
    /// Revision of the study [default: the newest that is reported]
    #[arg(long)]
    revision: Option<u32>,
    /// The server that holds it
    #[arg(long, value_name = "URL", env = "OVERREAD_SERVER", default_value = "http://127.0.0.1:7410")]
    server: String,
}

/// Runs the command.
#[must_use]
pub(super) fn run(args: &ExportArgs) -> ExitCode {
    match runtime().and_then(|runtime| runtime.block_on(export(args))) {
        Ok(paths) => {
            paths.iter().for_each(|path| println!("{}", path.display()));
            ExitCode::SUCCESS
        }
        Err(error) => fail(&error),
    }
}

async fn export(args: &ExportArgs) -> Result<Vec<PathBuf>> {
    let study = Uid::parse(&args.study)?;
    let client = Client::connect(&args.server).await?;
    objects::write(&client, &args.out, &study, args.revision, args.profile).await
}
