//! C-STORE: a data set becomes a Part 10 file while it comes, and goes to intake (PS3.7 9.1.1, PS3.10 7.1).
use std::sync::Arc;

use bytes::BytesMut;
use sha2::{Digest, Sha256};
use tokio::io::{AsyncRead, AsyncWrite};

use super::{
    association::Association,
    memory::{Memory, Share},
    status::{Misuse, Status},
};
use crate::{
    error::{Error, Result},
    network::{Command, Context, Fault, Fragment, Heard, IMPLEMENTATION},
    study::{Named, Source},
    uid::Uid,
};

/// A data set that is coming, behind the file meta group that its command makes.
struct Object {
    named: Named,
    bytes: BytesMut,
    digest: Sha256,
    share: Share,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Association<S> {
    /// Receives, keeps and answers. A refused data set is passed over, and the association goes on.
    pub(super) async fn store(&mut self, context: &Context, command: &Command) -> std::result::Result<(), Fault> {
        let status = match self.announced(context, command) {
            Ok(named) => match self.receive(context, named).await? {
                Ok(object) => self.keep(object).await,
                Err(error) => {
                    self.tally.refusal();
                    Status::of_error(&error)
                }
            },
            Err(misuse) => {
                self.skip_data_set(context.id, command).await?;
                self.tally.refusal();
                Status::of_misuse(misuse)
            }
        };
        if status.number != 0 {
            let number = format!("{:04X}", status.number);
            tracing::debug!(status = number, comment = status.comment, "C-STORE refused");
        }
        self.connection.say_command(context.id, &command.respond(status.number, status.comment)).await
    }

    /// What the command says that its data set is.
    fn announced(&self, context: &Context, command: &Command) -> std::result::Result<Named, Misuse> {
        let sop_instance = command.sop_instance.as_deref().and_then(|text| Uid::parse(text).ok());
        let sop_instance = sop_instance.ok_or(Misuse::InstanceUid)?;
        let same = command.sop_class.as_ref() == Some(&context.abstract_syntax);
        let sop_class = Uid::parse(&context.abstract_syntax).ok().filter(|_| same).ok_or(Misuse::SopClass)?;
        if !command.has_data_set {
            return Err(Misuse::NoDataSet);
        }
        Ok(Named { sop_class, sop_instance })
    }

    /// Outer errors end the association; an inner one refuses the instance, whose rest is passed over.
    async fn receive(&mut self, context: &Context, named: Named) -> std::result::Result<Result<Object>, Fault> {
        let mut object = Object::begin(named, context, &self.gate.memory).await;
        loop {
            let fragment = self.data_fragment(context.id).await?;
            if let Ok(filling) = &mut object
                && let Err(error) =
                    self.gate.memory.make_room(&mut filling.bytes, fragment.bytes, &mut filling.share).await
            {
                object = Err(error);
            }
            match &mut object {
                Ok(filling) => {
                    let before = filling.bytes.len();
                    self.connection.read_fragment(&mut filling.bytes).await?;
                    filling.digest.update(&filling.bytes[before..]);
                }
                Err(_) => self.connection.skip_fragment().await?,
            }
            if fragment.last {
                return Ok(object);
            }
        }
    }

    async fn keep(&mut self, object: Object) -> Status {
        let Object { named, bytes, digest, share } = object;
        let size = bytes.len() as u64;
        let gate = Arc::clone(&self.gate);
        // Closed only with the gate itself.
        let _place = gate.storing.acquire().await;
        let receipt = gate.intake.take(bytes.freeze(), digest.finalize().into(), Source::Dimse, Some(named)).await;
        // The share lives as long as the bytes.
        drop(share);
        self.tally.receipt(&receipt, size);
        let status = Status::of_receipt(&receipt);
        if status == Status::SUCCESS
            && let Some(study) = receipt.study
        {
            self.remember(study);
        }
        status
    }

    /// Passes over the data set of a command that is refused, if it has one.
    pub(super) async fn skip_data_set(&mut self, context: u8, command: &Command) -> std::result::Result<(), Fault> {
        let mut more = command.has_data_set;
        while more {
            more = !self.data_fragment(context).await?.last;
            self.connection.skip_fragment().await?;
        }
        Ok(())
    }

    async fn data_fragment(&mut self, context: u8) -> std::result::Result<Fragment, Fault> {
        match self.connection.hear(self.gate.idle).await? {
            Heard::Fragment(fragment) if !fragment.command && fragment.context == context => Ok(fragment),
            Heard::Fragment(_)
            | Heard::Associate(_)
            | Heard::Accepted(_)
            | Heard::Rejected(_)
            | Heard::ReleaseRequest
            | Heard::ReleaseResponse => Err(Fault::Unexpected),
        }
    }
}

impl Object {
    async fn begin(named: Named, context: &Context, memory: &Memory) -> Result<Object> {
        let meta = file_meta(&named, &context.transfer_syntax);
        let (mut bytes, mut share) = (BytesMut::new(), Share::default());
        let length = u32::try_from(meta.len()).map_err(|_| Error::internal("a file meta group beyond all bounds"))?;
        memory.make_room(&mut bytes, length, &mut share).await?;
        bytes.extend_from_slice(&meta);
        let mut digest = Sha256::new();
        digest.update(&meta);
        Ok(Object { named, bytes, digest, share })
    }
}

/// Preamble, prefix and file meta group. A function of class, instance and transfer syntax alone: the same data set sent again, by whomever,
/// is the same file, and no conflict.
fn file_meta(named: &Named, transfer_syntax: &str) -> Vec<u8> {
    let mut meta = Vec::new();
    meta.extend([2, 0, 1, 0, b'O', b'B', 0, 0, 2, 0, 0, 0, 0, 1]);
    for (number, uid) in [
        (0x02, named.sop_class.as_str()),
        (0x03, named.sop_instance.as_str()),
        (0x10, transfer_syntax),
        (0x12, IMPLEMENTATION),
    ] {
        let padded = uid.len() + uid.len() % 2;
        meta.extend([2, 0, number, 0, b'U', b'I']);
        // A UID has 64 characters at most.
        meta.extend(u16::try_from(padded).unwrap_or(0).to_le_bytes());
        meta.extend(uid.as_bytes());
        meta.resize(meta.len() + uid.len() % 2, 0);
    }
    let mut file = vec![0; 128];
    file.extend(b"DICM");
    file.extend([2, 0, 0, 0, b'U', b'L', 4, 0]);
    file.extend(u32::try_from(meta.len()).unwrap_or(0).to_le_bytes());
    file.extend(meta);
    file
}
