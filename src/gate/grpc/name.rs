//! Resource names, as in `studies/1.2.3/revisions/1/findings/2.25.4`: read into parts and written from them.
use crate::{
    error::{Code, Error, Result, Subject},
    uid::Uid,
};

/// `studies/{study}` or `studies/{study}/revisions/{revision}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct StudyName {
    pub(super) study: Uid,
    /// `None`: the newest, as the call defines it.
    pub(super) revision: Option<u32>,
}

/// `studies/{study}/revisions/{revision}/findings/{finding}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FindingName {
    pub(super) study: Uid,
    pub(super) revision: u32,
    pub(super) finding: Uid,
}

/// `{finding}/heatmap`, or that of one of its key images: `{finding}/keyImages/{key_image}/heatmap`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct HeatmapName {
    pub(super) finding: FindingName,
    /// From 1.
    pub(super) key_image: Option<u32>,
}

/// Reads `studies/{study}`; `field` names the request's field in the error.
pub(super) fn study(field: &str, name: &str) -> Result<Uid> {
    match study_or_revision(field, name)? {
        StudyName { study, revision: None } => Ok(study),
        StudyName { revision: Some(_), .. } => Err(bad(field, "must be studies/{study}, without a revision")),
    }
}

/// Reads `studies/{study}` or `studies/{study}/revisions/{revision}`.
pub(super) fn study_or_revision(field: &str, name: &str) -> Result<StudyName> {
    let parts: Vec<&str> = name.split('/').collect();
    match parts.as_slice() {
        ["studies", study] => Ok(StudyName { study: uid(field, study)?, revision: None }),
        ["studies", study, "revisions", number] => {
            Ok(StudyName { study: uid(field, study)?, revision: Some(revision(field, number)?) })
        }
        _ => Err(bad(field, "must be studies/{study} or studies/{study}/revisions/{revision}")),
    }
}

/// Reads `studies/{study}/report` or `studies/{study}/revisions/{revision}/report`.
pub(super) fn report(field: &str, name: &str) -> Result<StudyName> {
    match name.strip_suffix("/report") {
        Some(parent) => study_or_revision(field, parent),
        None => Err(bad(field, "must be studies/{study}/report or studies/{study}/revisions/{revision}/report")),
    }
}

/// Reads `{finding}/heatmap` or `{finding}/keyImages/{key_image}/heatmap`.
pub(super) fn heatmap(field: &str, name: &str) -> Result<HeatmapName> {
    let what =
        "must be studies/{study}/revisions/{revision}/findings/{finding}/heatmap, or .../keyImages/{key_image}/heatmap";
    let parent = name.strip_suffix("/heatmap").ok_or_else(|| bad(field, what))?;
    let (finding, key_image) = match parent.split_once("/keyImages/") {
        Some((finding, place)) => (finding, Some(number(field, "a key image", place)?)),
        None => (parent, None),
    };
    Ok(HeatmapName { finding: self::finding(field, finding, what)?, key_image })
}

/// Reads `{finding}/segmentation`.
pub(super) fn segmentation(field: &str, name: &str) -> Result<FindingName> {
    let what = "must be studies/{study}/revisions/{revision}/findings/{finding}/segmentation";
    finding(field, name.strip_suffix("/segmentation").ok_or_else(|| bad(field, what))?, what)
}

/// Reads `studies/{study}/revisions/{revision}/findings/{finding}`.
fn finding(field: &str, name: &str, what: &str) -> Result<FindingName> {
    let parts: Vec<&str> = name.split('/').collect();
    match parts.as_slice() {
        ["studies", study, "revisions", number, "findings", finding] => Ok(FindingName {
            study: uid(field, study)?,
            revision: revision(field, number)?,
            finding: uid(field, finding)?,
        }),
        _ => Err(bad(field, what)),
    }
}

/// Reads `models/{model}`: the model's own name.
pub(super) fn model<'a>(field: &str, name: &'a str) -> Result<&'a str> {
    match name.split_once('/') {
        Some(("models", model)) if !model.is_empty() && !model.contains('/') => Ok(model),
        _ => Err(bad(field, "must be models/{model}")),
    }
}

/// A request that is wrong in `field`.
pub(super) fn bad(field: &str, what: impl Into<String>) -> Error {
    Error::new(Code::InvalidArgument, what).about(Subject::Field(field.to_owned()))
}

pub(super) fn of_study(study: &Uid) -> String {
    format!("studies/{study}")
}

pub(super) fn of_report(study: &Uid, revision: u32) -> String {
    format!("studies/{study}/revisions/{revision}/report")
}

pub(super) fn of_finding(study: &Uid, revision: u32, finding: &Uid) -> String {
    format!("studies/{study}/revisions/{revision}/findings/{finding}")
}

pub(super) fn of_heatmap(study: &Uid, revision: u32, finding: &Uid) -> String {
    format!("{}/heatmap", of_finding(study, revision, finding))
}

pub(super) fn of_key_heatmap(study: &Uid, revision: u32, finding: &Uid, key_image: u32) -> String {
    format!("{}/keyImages/{key_image}/heatmap", of_finding(study, revision, finding))
}

pub(super) fn of_segmentation(study: &Uid, revision: u32, finding: &Uid) -> String {
    format!("{}/segmentation", of_finding(study, revision, finding))
}

pub(super) fn of_model(model: &str) -> String {
    format!("models/{model}")
}

fn uid(field: &str, text: &str) -> Result<Uid> {
    Uid::parse(text).map_err(|_| bad(field, "holds a UID that is not one (PS3.5 9.1)"))
}

fn revision(field: &str, text: &str) -> Result<u32> {
    number(field, "a revision", text)
}

fn number(field: &str, what: &str, text: &str) -> Result<u32> {
    match text.parse() {
        Ok(number) if number > 0 => Ok(number),
        _ => Err(bad(field, format!("holds {what} that is not a number from 1 on"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_written_can_be_read() {
        let (study_uid, finding) = (Uid::derive(&[b"study"]), Uid::derive(&[b"finding"]));
        assert_eq!(study("name", &of_study(&study_uid)), Ok(study_uid.clone()));
        let read = report("name", &of_report(&study_uid, 3));
        assert_eq!(read, Ok(StudyName { study: study_uid.clone(), revision: Some(3) }));
        let wanted = FindingName { study: study_uid.clone(), revision: 2, finding: finding.clone() };
        let read = heatmap("name", &of_heatmap(&study_uid, 2, &finding));
        assert_eq!(read, Ok(HeatmapName { finding: wanted.clone(), key_image: None }));
        let read = heatmap("name", &of_key_heatmap(&study_uid, 2, &finding, 3));
        assert_eq!(read, Ok(HeatmapName { finding: wanted.clone(), key_image: Some(3) }));
        assert_eq!(segmentation("name", &of_segmentation(&study_uid, 2, &finding)), Ok(wanted));
        assert_eq!(model("name", &of_model("chest")), Ok("chest"));
    }

    #[test]
    fn a_wrong_name_names_its_field() {
        for name in
            ["", "studies", "studies/", "studies/x", "studies/1.2/revisions/0", "studies/1.2/report/", "/studies/1.2"]
        {
            let error = study_or_revision("parent", name).expect_err(name);
            assert_eq!((error.code, error.subject), (Code::InvalidArgument, Subject::Field("parent".to_owned())));
        }
        assert!(study("name", "studies/1.2/revisions/1").is_err());
        assert!(report("name", "studies/1.2").is_err());
        assert!(model("name", "models/a/b").is_err());
        assert!(heatmap("name", "studies/1.2/revisions/1/findings/1.3/keyImages/0/heatmap").is_err());
        assert!(heatmap("name", "studies/1.2/revisions/1/findings/1.3/segmentation").is_err());
        assert!(segmentation("name", "studies/1.2/revisions/1/findings/1.3/keyImages/1/segmentation").is_err());
    }
}
