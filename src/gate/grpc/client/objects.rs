//! Result objects as they come: one at a time, so that a client holds no more than one.
use bytes::Bytes;
use tonic::Streaming;

use super::{Body, Client, failed, next, read};
use crate::{
    deliver::{Kind, Profile},
    error::Result,
    gate::grpc::{name, serve::MESSAGE_BYTES_MAX, v1},
    uid::Uid,
};

/// A server that names a larger object is not believed.
const OBJECT_BYTES_MAX: u64 = 1 << 30;

/// A result object. It holds patient data: no `Debug`.
pub struct ResultObject {
    /// What kind; `None`: one that this build does not know.
    pub kind: Option<Kind>,
    /// The model that speaks; empty where none is meant.
    pub model: String,
    /// Instance Number in its series, from 1.
    pub instance_number: u32,
    /// The whole Part 10 file.
    pub bytes: Bytes,
}

/// The objects of a study revision, in the order in which they are to be delivered.
pub struct ResultObjects {
    parts: Streaming<v1::GetObjectsResponse>,
    /// The header that has been read ahead.
    header: Option<v1::ObjectHeader>,
}

impl Client {
    /// The result objects of a reported study: of `revision`, or the newest. Errors: `NotFound` until it is reported.
    pub async fn objects(&self, study: &Uid, revision: Option<u32>, profile: Profile) -> Result<ResultObjects> {
        let parent = match revision {
            Some(revision) => format!("{}/revisions/{revision}", name::of_study(study)),
            None => name::of_study(study),
        };
        let profile = match profile {
            Profile::Ohif => v1::RenderProfile::Ohif,
            Profile::Weasis => v1::RenderProfile::Weasis,
            Profile::ClassicPacs => v1::RenderProfile::ClassicPacs,
            Profile::Archive => v1::RenderProfile::Archive,
            Profile::All => v1::RenderProfile::All,
        };
        let mut stub = v1::object_service_client::ObjectServiceClient::new(self.channel.clone())
            .max_decoding_message_size(MESSAGE_BYTES_MAX);
        let asked = v1::GetObjectsRequest { parent, profile: profile.into() };
        let parts = stub.get_objects(asked).await.map_err(failed)?.into_inner();
        Ok(ResultObjects { parts, header: None })
    }
}

impl ResultObjects {
    /// The next one; `None` after the last.
    pub async fn next(&mut self) -> Result<Option<ResultObject>> {
        use v1::get_objects_response::Part;
        let header = match self.header.take() {
            Some(header) => header,
            None => match next(&mut self.parts).await?.map(|message| message.part) {
                None => return Ok(None),
                Some(Some(Part::Header(header))) => header,
                Some(Some(Part::Chunk(_)) | None) => return Err(read::incomplete()),
            },
        };
        let mut body = Body::of(header.size_bytes, OBJECT_BYTES_MAX)?;
        while let Some(message) = next(&mut self.parts).await? {
            match message.part {
                Some(Part::Chunk(chunk)) => body.push(&chunk)?,
                Some(Part::Header(following)) => {
                    self.header = Some(following);
                    break;
                }
                None => {}
            }
        }
        Ok(Some(ResultObject {
            kind: kind(header.kind()),
            model: header.model.strip_prefix("models/").unwrap_or_default().to_owned(),
            instance_number: header.instance_number,
            bytes: body.whole()?,
        }))
    }
}

fn kind(kind: v1::ObjectKind) -> Option<Kind> {
    match kind {
        v1::ObjectKind::Unspecified => None,
        v1::ObjectKind::Report => Some(Kind::Report),
        v1::ObjectKind::NotAnalysed => Some(Kind::NotAnalysed),
        v1::ObjectKind::Segmentation => Some(Kind::Segmentation),
        v1::ObjectKind::ParametricMap => Some(Kind::ParametricMap),
        v1::ObjectKind::Picture => Some(Kind::Picture),
        v1::ObjectKind::Presentation => Some(Kind::Presentation),
        v1::ObjectKind::KeyObjects => Some(Kind::KeyObjects),
    }
}
