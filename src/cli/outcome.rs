//! What became of the files and studies of an `analyze`: collected, then shown as JSON (schema overread.report/1) or a table.
use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    process::ExitCode,
};

use serde_json::{Value, json};

use crate::{
    error::{Code, Error, Result},
    finding::{self, Finding, NotAnalysed, ReadVolume, Report},
    gate::grpc::client::{self, Client, Event},
    ledger::State,
    uid::Uid,
};

/// A file and its receipt.
#[derive(Debug)]
pub(super) struct SentFile {
    pub(super) path: PathBuf,
    pub(super) sop_instance: Option<Uid>,
    /// `stored`, `duplicate`, `conflict` or `refused`.
    pub(super) receipt: &'static str,
    pub(super) error: Option<Error>,
}

impl SentFile {
    /// A file that the server answered for.
    pub(super) fn answered(path: PathBuf, receipt: client::Receipt) -> SentFile {
        let (word, error) = match receipt.outcome {
            client::Outcome::Stored => ("stored", None),
            client::Outcome::Duplicate => ("duplicate", None),
            client::Outcome::Conflict(error) => ("conflict", Some(error)),
            client::Outcome::Refused(error) => ("refused", Some(error)),
        };
        SentFile { path, sop_instance: receipt.sop_instance, receipt: word, error }
    }

    /// A file that was not sent.
    pub(super) fn refused(path: PathBuf, error: Error) -> SentFile {
        SentFile { path, sop_instance: None, receipt: "refused", error: Some(error) }
    }

    fn to_json(&self) -> Value {
        json!({
            "path": self.path.display().to_string(),
            "sop_instance_uid": self.sop_instance.as_ref().map(Uid::as_str),
            "receipt": self.receipt,
            "code": self.error.as_ref().map(|error| error.code.name()),
            "detail": self.error.as_ref().map(|error| error.detail.as_str()),
        })
    }
}

/// A study revision of the call.
#[derive(Debug)]
pub(super) struct StudyOutcome {
    pub(super) study: Uid,
    pub(super) revision: u32,
    pub(super) state: State,
    pub(super) findings: Vec<Finding>,
    pub(super) not_analysed: Vec<NotAnalysed>,
    pub(super) volumes: Vec<ReadVolume>,
    /// Files written for each of `findings`; of a series one for each key slice with a map, in their order.
    pub(super) overlays: Vec<Vec<PathBuf>>,
}

impl StudyOutcome {
    /// The outcome of that revision among `studies`, made when it is new.
    pub(super) fn of<'a>(studies: &'a mut Vec<StudyOutcome>, study: &Uid, revision: u32) -> &'a mut StudyOutcome {
        let found = studies.iter().position(|known| known.study == *study && known.revision == revision);
        let index = found.unwrap_or_else(|| {
            studies.push(StudyOutcome {
                study: study.clone(),
                revision,
                state: State::Sealed,
                findings: Vec::new(),
                not_analysed: Vec::new(),
                volumes: Vec::new(),
                overlays: Vec::new(),
            });
            studies.len() - 1
        });
        &mut studies[index]
    }

    /// The single images that have findings, in the order of their UIDs and frames: their numbers in tables and file names.
    pub(super) fn images(&self) -> Vec<(&Uid, u32)> {
        let single = self.findings.iter().filter(|f| f.of_series.is_none());
        let images: BTreeSet<_> = single.map(|f| (&f.sop_instance, f.frame_number)).collect();
        images.into_iter().collect()
    }

    /// The series that have findings, in the order of their UIDs: their numbers in tables and file names.
    pub(super) fn series(&self) -> Vec<&Uid> {
        let series: BTreeSet<_> = self.findings.iter().filter_map(|f| Some(&f.of_series.as_ref()?.series)).collect();
        series.into_iter().collect()
    }

    /// What an event says of the state; findings and reasons are read from the report at the end.
    pub(super) fn take(&mut self, event: Event) {
        match event {
            Event::Reported => self.state = State::Reported,
            Event::Quarantined(_) => self.state = State::Quarantined,
            Event::Refused => self.state = State::Refused,
            Event::Sealed { .. }
            | Event::TargetPlanned { .. }
            | Event::NotAnalysed { .. }
            | Event::TargetStarted { .. }
            | Event::Progress { .. }
            | Event::Finding(_)
            | Event::Heatmap { .. }
            | Event::Segmentation { .. }
            | Event::Deleted => {}
        }
    }

    /// Fetches what the study ended with: its report, or why its instances were refused.
    pub(super) async fn complete(&mut self, client: &Client) -> Result<()> {
        if self.state == State::Refused {
            self.not_analysed = client.explain(&self.study, Some(self.revision)).await?.refusals;
            return Ok(());
        }
        let report = client.report(&self.study, Some(self.revision)).await?;
        self.findings = report.findings;
        self.not_analysed = report.not_analysed;
        self.volumes = report.volumes;
        Ok(())
    }

    fn to_json(&self) -> Result<Value> {
        let report = Report {
            study: self.study.clone(),
            revision: self.revision,
            findings: self.findings.clone(),
            not_analysed: self.not_analysed.clone(),
            volumes: self.volumes.clone(),
        };
        let mut value: Value = serde_json::from_str(&finding::report_to_json(&report)?)
            .map_err(|_| Error::internal("a report could not be written as JSON"))?;
        value["state"] = json!(self.state.name());
        if let Some(findings) = value["findings"].as_array_mut() {
            for (finding, overlays) in findings.iter_mut().zip(&self.overlays) {
                let paths: Vec<_> = overlays.iter().map(|path| path.display().to_string()).collect();
                finding["overlay"] = json!(paths.first());
                finding["overlays"] = json!(paths);
            }
        }
        Ok(value)
    }
}

/// Everything that `analyze` has to say.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub(super) files: Vec<SentFile>,
    pub(super) studies: Vec<StudyOutcome>,
}

impl Outcome {
    /// Takes what another call gave.
    pub(super) fn add(&mut self, other: Outcome) {
        self.files.extend(other.files);
        self.studies.extend(other.studies);
    }

    /// 0: something was analysed. 3: nothing was.
    pub(super) fn exit(&self) -> ExitCode {
        let analysed = self.studies.iter().any(|study| !study.findings.is_empty());
        ExitCode::from(if analysed { 0 } else { Code::NoModelApplies.row().exit })
    }

    /// One object of schema overread.report/1.
    pub(super) fn to_json(&self) -> Result<Value> {
        Ok(json!({
            "schema": "overread.report/1",
            "instances": self.files.iter().map(SentFile::to_json).collect::<Vec<_>>(),
            "studies": self.studies.iter().map(StudyOutcome::to_json).collect::<Result<Vec<_>>>()?,
        }))
    }

    /// Writes `report.json` into `out`.
    pub(super) fn write_report(&self, out: &Path) -> Result<()> {
        let (path, text) = (out.join("report.json"), format!("{:#}\n", self.to_json()?));
        let written = std::fs::create_dir_all(out).and_then(|()| std::fs::write(&path, text));
        written.map_err(|e| {
            Error::new(Code::InvalidArgument, format!("{} cannot be written ({})", path.display(), e.kind()))
        })
    }
}
