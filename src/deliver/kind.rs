//! The kinds of objects that are made, and which of them a destination gets: two tables.
//!
//! No single object is shown everywhere, so a destination has a render profile. docs/objects.md has the same matrix with what was seen.

/// A kind of result object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// What a model found and did not find: Comprehensive 3D SR, TID 1500.
    Report,
    /// What was not analysed, and why: the same document without measurements.
    NotAnalysed,
    /// The mask of a finding.
    Segmentation,
    /// The heatmap of a finding as numbers.
    ParametricMap,
    /// A picture with everything burnt in: Secondary Capture.
    Picture,
    /// Contours and text over the source images: Grayscale Softcopy Presentation State.
    Presentation,
    /// The images that show findings: Key Object Selection.
    KeyObjects,
}

/// What holds for all objects of a kind.
pub struct KindRow {
    /// The kind.
    pub kind: Kind,
    /// Its short name: in file names, in the API.
    pub name: &'static str,
    /// SOP Class UID (PS3.4 B.5).
    pub sop_class: &'static str,
    /// Modality of its series.
    pub modality: &'static str,
    /// Series Number of the first model's series; further models count on. High: behind the images in a viewer's list.
    pub series_number: u32,
}

/// All kinds, in the order in which they are made: what others refer to comes first.
pub const KINDS: &[KindRow] = &[
    row(Kind::Segmentation, "seg", "1.2.840.10008.5.1.4.1.1.66.4", "SEG", 9200),
    row(Kind::ParametricMap, "map", "1.2.840.10008.5.1.4.1.1.30", "OT", 9300),
    row(Kind::Picture, "picture", "1.2.840.10008.5.1.4.1.1.7", "OT", 9400),
    row(Kind::Presentation, "presentation", "1.2.840.10008.5.1.4.1.1.11.1", "PR", 9500),
    row(Kind::Report, "report", "1.2.840.10008.5.1.4.1.1.88.34", "SR", 9100),
    row(Kind::NotAnalysed, "not-analysed", "1.2.840.10008.5.1.4.1.1.88.34", "SR", 9700),
    row(Kind::KeyObjects, "key-objects", "1.2.840.10008.5.1.4.1.1.88.59", "KO", 9600),
];

const fn row(
    kind: Kind,
    name: &'static str,
    sop_class: &'static str,
    modality: &'static str,
    series_number: u32,
) -> KindRow {
    KindRow { kind, name, sop_class, modality, series_number }
}

/// Which objects a destination gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// Viewers of OHIF's family.
    Ohif,
    /// Weasis.
    Weasis,
    /// A PACS that shows pictures and little else.
    ClassicPacs,
    /// An archive that keeps values for machines.
    Archive,
    /// Everything.
    All,
}

/// Each profile, its name, and its kinds.
pub const PROFILES: &[(Profile, &str, &[Kind])] = &[
    (Profile::Ohif, "ohif", &[Kind::Report, Kind::Segmentation, Kind::Picture]),
    (
        Profile::Weasis,
        "weasis",
        &[Kind::Report, Kind::NotAnalysed, Kind::Segmentation, Kind::Picture, Kind::Presentation, Kind::KeyObjects],
    ),
    (Profile::ClassicPacs, "classic-pacs", &[Kind::Report, Kind::NotAnalysed, Kind::Picture, Kind::KeyObjects]),
    (Profile::Archive, "archive", &[Kind::Report, Kind::NotAnalysed, Kind::Segmentation, Kind::ParametricMap]),
    (
        Profile::All,
        "all",
        &[
            Kind::Report,
            Kind::NotAnalysed,
            Kind::Segmentation,
            Kind::ParametricMap,
            Kind::Picture,
            Kind::Presentation,
            Kind::KeyObjects,
        ],
    ),
];

impl Kind {
    /// Its row.
    pub fn row(self) -> &'static KindRow {
        // Every kind has a row: a test looks.
        KINDS.iter().find(|row| row.kind == self).unwrap_or(&KINDS[0])
    }
}

impl Profile {
    /// As it is written in configurations and on the command line.
    pub fn name(self) -> &'static str {
        self.entry().1
    }

    /// The profile of that name, if there is one.
    pub fn from_name(name: &str) -> Option<Profile> {
        PROFILES.iter().find(|(_, known, _)| *known == name).map(|(profile, ..)| *profile)
    }

    /// Whether a destination of this profile gets objects of that kind.
    pub fn holds(self, kind: Kind) -> bool {
        self.entry().2.contains(&kind)
    }

    fn entry(self) -> &'static (Profile, &'static str, &'static [Kind]) {
        PROFILES.iter().find(|(profile, ..)| *profile == self).unwrap_or(&PROFILES[0])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_and_every_profile_has_its_row() {
        let (_, _, all) = PROFILES[PROFILES.len() - 1];
        for kind in all {
            assert_eq!(kind.row().kind, *kind);
        }
        assert_eq!(all.len(), KINDS.len());
        for profile in [Profile::Ohif, Profile::Weasis, Profile::ClassicPacs, Profile::Archive, Profile::All] {
            assert_eq!(Profile::from_name(profile.name()), Some(profile));
        }
        assert_eq!(Profile::from_name("everything"), None);
    }
}
