//! Intake: the one way of an instance into the house, whichever gate it came through.
use std::sync::Arc;

use bytes::Bytes;

use crate::{
    dicom::{self, Instance, Limits},
    error::{Code, Error, Family, Result},
    ledger::{self, Ledger, NewInstance, Receipt, State, StudyRow},
    study::{
        SealedBy,
        state::{Event, on_event, on_event_logged},
    },
    uid::Uid,
};

/// Which gate an instance came through. A closed set: it is stored and may label a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The gRPC API.
    Grpc,
    /// C-STORE.
    Dimse,
}

impl Source {
    fn as_str(self) -> &'static str {
        match self {
            Source::Grpc => "grpc",
            Source::Dimse => "dimse",
        }
    }
}

/// What a gate was told of an instance before its bytes came: the object itself must say the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// SOP Class UID.
    pub sop_class: Uid,
    /// SOP Instance UID.
    pub sop_instance: Uid,
}

/// What became of one instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Durable.
    Stored,
    /// The same bytes were durable before.
    Duplicate,
    /// The UID is taken by other bytes; both are kept, the first is analysed.
    Conflict,
    /// Not taken.
    Refused(Error),
}

/// The answer for one instance. It is given only after what it says is durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstanceReceipt {
    /// SOP Instance UID, where it could be read.
    pub sop_instance: Option<Uid>,
    /// Study Instance UID, where it could be read.
    pub study: Option<Uid>,
    /// What became of it.
    pub outcome: Outcome,
}

/// Takes instances and seals studies.
#[derive(Clone)]
pub struct Intake {
    ledger: Ledger,
    limits: Arc<Limits>,
    class: u8,
}

impl Intake {
    /// An intake that writes to `ledger`; work is of class Routine.
    pub fn new(ledger: Ledger, limits: Limits) -> Intake {
        Intake { ledger, limits: Arc::new(limits), class: 1 }
    }

    /// Vets, stores and answers for one instance: `bytes` is a whole Part 10 file or data set, `sha256` what the gate has made of
    /// them while they came (the pack is checked against it whenever they are read); `named` what it was told of them, if it was.
    ///
    /// A refusal is answered, recorded where the study is known, and never an error of the call: others go on.
    /// Cancel safety: dropped before the answer, the instance may or may not be stored; sending it again is harmless.
    pub async fn take(&self, bytes: Bytes, sha256: [u8; 32], source: Source, named: Option<Named>) -> InstanceReceipt {
        let limits = Arc::clone(&self.limits);
        let to_read = bytes.clone();
        // Parsing is CPU work: off the async threads.
        let vetted = tokio::task::spawn_blocking(move || vet(&to_read, &limits, named.as_ref())).await;
        let vetted = match vetted {
            Ok(vetted) => vetted,
            Err(_) => Err((None, None, Error::internal("reading the instance failed unexpectedly"))),
        };
        match vetted {
            Ok(header) => self.store(new_instance(header, bytes, sha256, source)).await,
            Err((study, sop_instance, error)) => self.refuse(study, sop_instance, error).await,
        }
    }

    /// Seals a study: it will be analysed. Harmless when it is sealed already.
    ///
    /// Errors: `NotFound`; those of the ledger.
    pub async fn seal(&self, study: &Uid, by: SealedBy) -> Result<StudyRow> {
        let seal = on_event_logged(
            |row| Event::Seal { stored: row.map_or(0, |row| row.instances) },
            self.class,
            move |state| match state {
                State::Refused => vec![ledger::Event::StudyRefused],
                State::Open | State::Sealed | State::Planned | State::Reported | State::Quarantined => {
                    vec![ledger::Event::StudySealed { by: by.as_str().to_owned() }]
                }
            },
        );
        let decide: ledger::Decide = Box::new(move |row| {
            if row.is_none() {
                return Err(Error::new(Code::NotFound, "no such study is here"));
            }
            let mut change = seal(row)?;
            if change.state.is_some() {
                change.sealed_by = Some(by.as_str().to_owned());
            }
            Ok(change)
        });
        self.ledger.change(study, decide).await
    }

    async fn store(&self, new: NewInstance) -> InstanceReceipt {
        let (study, sop_instance) = (Some(new.study.clone()), Some(new.sop_instance.clone()));
        let outcome = match self.ledger.store(new, on_event(|_| Event::InstanceStored, self.class)).await {
            Ok(Receipt::Stored { .. }) => Outcome::Stored,
            Ok(Receipt::Duplicate { .. }) => Outcome::Duplicate,
            Ok(Receipt::Conflict) => Outcome::Conflict,
            Err(error) => return self.refuse(study, sop_instance, error).await,
        };
        InstanceReceipt { sop_instance, study, outcome }
    }

    async fn refuse(&self, study: Option<Uid>, sop_instance: Option<Uid>, error: Error) -> InstanceReceipt {
        let error = match &sop_instance {
            Some(uid) => error.about_instance(uid.as_str()),
            None => error,
        };
        tracing::debug!(code = %error.code, "instance refused");
        let answer = |error| InstanceReceipt {
            sop_instance: sop_instance.clone(),
            study: study.clone(),
            outcome: Outcome::Refused(error),
        };
        if error.code.row().family != Family::Refused {
            // The service could not take it now: the sender keeps it and sends again. Nothing is said of the object itself.
            return answer(error);
        }
        let decide = on_event(|_| Event::InstanceRefused, self.class);
        if let Err(log) = self.ledger.refuse(study.clone(), sop_instance.clone(), &error, decide).await {
            // The sender still gets its answer; only the record of the refusal is missing.
            tracing::warn!(code = %log.code, refused = %error.code, "refusal not recorded");
        }
        answer(error)
    }
}

type Rejected = (Option<Uid>, Option<Uid>, Error);

fn vet(bytes: &Bytes, limits: &Limits, named: Option<&Named>) -> std::result::Result<dicom::Header, Rejected> {
    match Instance::read(bytes, limits) {
        Ok(instance) => as_named(instance.header().clone(), named),
        Err(error) => {
            let identity = dicom::identify(bytes, limits);
            match (named, &identity.sop_instance) {
                // Whatever else is wrong with it: it is another one.
                (Some(named), Some(found)) if named.sop_instance != *found => Err(another(identity.study)),
                (Some(_) | None, _) => Err((identity.study, identity.sop_instance, error)),
            }
        }
    }
}

fn as_named(header: dicom::Header, named: Option<&Named>) -> std::result::Result<dicom::Header, Rejected> {
    match named {
        Some(named) if named.sop_instance != header.sop_instance => Err(another(Some(header.study))),
        Some(named) if named.sop_class != header.sop_class => {
            let differs = Error::new(Code::ContentMismatch, "SOP Class UID is not that of the request");
            Err((Some(header.study), Some(header.sop_instance), differs))
        }
        Some(_) | None => Ok(header),
    }
}

/// Another name than announced is no name to record it by: the refusal stands under none.
fn another(study: Option<Uid>) -> Rejected {
    (study, None, Error::new(Code::ContentMismatch, "SOP Instance UID is not that of the request"))
}

fn new_instance(header: dicom::Header, bytes: Bytes, sha256: [u8; 32], source: Source) -> NewInstance {
    let header_json = serde_json::json!({
        "modality": header.modality, "rows": header.rows, "columns": header.columns, "frames": header.frames,
    })
    .to_string();
    NewInstance {
        study: header.study,
        series: header.series,
        sop_instance: header.sop_instance,
        sop_class: header.sop_class,
        transfer_syntax: header.transfer_syntax,
        patient_key: header.patient_key,
        sha256,
        bytes,
        source: source.as_str().to_owned(),
        header_json,
    }
}
