//! Result objects on disk: one `.dcm` file for each, in a folder for each study.
use std::path::{Path, PathBuf};

use clap::ValueEnum;

use crate::{
    deliver,
    error::{Code, Error, Result},
    gate::grpc::client::{Client, ResultObject},
    uid::Uid,
};

/// Which objects are written. docs/objects.md shows what is seen of each in which viewer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Profile {
    /// Report, segmentations, pictures
    Ohif,
    /// Report, what was not analysed, segmentations, pictures, contours, flagged images
    Weasis,
    /// Report, what was not analysed, pictures, flagged images
    ClassicPacs,
    /// Report, what was not analysed, segmentations, heatmaps as numbers
    Archive,
    /// Everything
    All,
}

impl Profile {
    fn kinds(self) -> deliver::Profile {
        match self {
            Profile::Ohif => deliver::Profile::Ohif,
            Profile::Weasis => deliver::Profile::Weasis,
            Profile::ClassicPacs => deliver::Profile::ClassicPacs,
            Profile::Archive => deliver::Profile::Archive,
            Profile::All => deliver::Profile::All,
        }
    }
}

/// Fetches and writes the objects of a reported study into `out/<Study Instance UID>/`; the paths, in the order of delivery.
///
/// Names: `<kind>-<model>-<number>.dcm`. Errors: `InvalidArgument` when a file cannot be written; those of the server.
pub(super) async fn write(
    client: &Client,
    out: &Path,
    study: &Uid,
    revision: Option<u32>,
    profile: Profile,
) -> Result<Vec<PathBuf>> {
    let folder = out.join(study.as_str());
    let mut objects = client.objects(study, revision, profile.kinds()).await?;
    let mut written = Vec::new();
    while let Some(object) = objects.next().await? {
        written.push(save(&folder, &object)?);
    }
    Ok(written)
}

fn save(folder: &Path, object: &ResultObject) -> Result<PathBuf> {
    let kind = object.kind.map_or("object", |kind| kind.row().name);
    // A model's name has letters, digits and hyphens, if the server is one of ours; nothing else gets into a path.
    let is_plain = object.model.bytes().all(|letter| letter.is_ascii_alphanumeric() || letter == b'-');
    let name = match object.model.is_empty() || !is_plain {
        true => format!("{kind}-{}.dcm", object.instance_number),
        false => format!("{kind}-{}-{}.dcm", object.model, object.instance_number),
    };
    let path = folder.join(name);
    let saved = std::fs::create_dir_all(folder).and_then(|()| std::fs::write(&path, &object.bytes));
    saved.map_err(|e| {
        Error::new(Code::InvalidArgument, format!("{} cannot be written ({})", path.display(), e.kind()))
    })?;
    Ok(path)
}
