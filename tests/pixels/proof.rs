//! What was proven, by kind of pixels and by feature, as the tables that are printed and published.
use std::collections::BTreeMap;
use std::fmt::Write;

use overread::dicom::{Header, TRANSFER_SYNTAXES};
use overread::error::Code;

use crate::expected::Row;
use crate::support::corpus::{Tally, Verdict};

/// A kind of pixels: a row of the published table. Ordered as the transfer syntaxes are in the service's own table.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Kind {
    syntax_rank: usize,
    syntax_uid: String,
    photometric: String,
    bits_allocated: u16,
    bits_stored: u16,
    signed: bool,
}

impl Kind {
    pub(crate) fn of(header: &Header) -> Kind {
        let (photometric, signed) = (header.photometric.as_str(), header.signed);
        Kind::new(header.transfer_syntax.as_str(), photometric, [header.bits_allocated, header.bits_stored], signed)
    }

    /// `None` for a row of an object without pixels.
    pub(crate) fn of_row(row: &Row) -> Option<Kind> {
        let bits = [row["bits_allocated"].parse().ok()?, row["bits_stored"].parse().ok()?];
        Some(Kind::new(&row["transfer_syntax_uid"], &row["photometric"], bits, row["pixel_representation"] == "1"))
    }

    fn new(syntax_uid: &str, photometric: &str, [bits_allocated, bits_stored]: [u16; 2], signed: bool) -> Kind {
        let rank = TRANSFER_SYNTAXES.iter().position(|row| row.uid == syntax_uid);
        let syntax_rank = rank.unwrap_or(TRANSFER_SYNTAXES.len());
        let (syntax_uid, photometric) = (syntax_uid.to_owned(), photometric.to_owned());
        Kind { syntax_rank, syntax_uid, photometric, bits_allocated, bits_stored, signed }
    }

    fn syntax_name(&self) -> &str {
        TRANSFER_SYNTAXES.get(self.syntax_rank).map_or("not decoded", |row| row.name)
    }
}

/// Files of one kind.
#[derive(Default)]
struct Counts {
    equal: usize,
    within: usize,
    refused: BTreeMap<&'static str, usize>,
}

/// Everything that the walk over the corpus has found out.
#[derive(Default)]
pub(crate) struct Proof {
    kinds: BTreeMap<Kind, Counts>,
    /// Objects without pixels that are analysed, by the corpus' reason: how often each code.
    without: BTreeMap<(String, &'static str), usize>,
    by_syntax: Tally,
    by_feature: Tally,
}

impl Proof {
    pub(crate) fn add(&mut self, kind: Option<Kind>, reason: &str, features: &[&str], case: &str, verdict: Verdict) {
        let group = kind.as_ref().map_or("no pixels", Kind::syntax_name).to_owned();
        match (&verdict, kind) {
            (Verdict::Refused(code), None) => *self.without.entry((reason.to_owned(), code.name())).or_default() += 1,
            (_, None) => {}
            (verdict, Some(kind)) => self.kinds.entry(kind).or_default().add(verdict),
        }
        for feature in features {
            self.by_feature.add(feature, case, verdict.clone());
        }
        self.by_syntax.add(&group, case, verdict);
    }

    /// The published table.
    pub(crate) fn kinds_table(&self) -> String {
        let mut out = String::from(
            "| transfer syntax | UID | photometric interpretation | bits stored of allocated | sign | files |\n\
             |---|---|---|---|---|---|\n",
        );
        for (kind, counts) in &self.kinds {
            let sign = if kind.signed { "signed" } else { "unsigned" };
            let Kind { syntax_uid, photometric, bits_stored, bits_allocated, .. } = kind;
            let name = kind.syntax_name();
            let line =
                format!("| {name} | {syntax_uid} | {photometric} | {bits_stored} of {bits_allocated} | {sign} |");
            writeln!(out, "{line} {} |", counts.words()).unwrap();
        }
        out
    }

    /// What the objects without pixels for analysis are answered with.
    pub(crate) fn without_table(&self) -> String {
        let mut out = String::from("| the object is | answer | files |\n|---|---|---|\n");
        for ((reason, code), count) in &self.without {
            writeln!(out, "| {} | `{code}` | {count} |", reason.replace('_', " ")).unwrap();
        }
        out
    }

    /// Prints both tables. Fails if anything was wrong.
    #[track_caller]
    pub(crate) fn finish(self) {
        self.by_feature.print();
        self.by_syntax.finish();
    }
}

impl Counts {
    fn add(&mut self, verdict: &Verdict) {
        match verdict {
            Verdict::Right => self.equal += 1,
            Verdict::WithinTolerance => self.within += 1,
            Verdict::Refused(code) => *self.refused.entry(code.name()).or_default() += 1,
            Verdict::Wrong(_) => {}
        }
    }

    fn words(&self) -> String {
        let counted = |count: usize, what: &str| (count > 0).then(|| format!("{count} {what}"));
        let refused = self.refused.iter().map(|(code, count)| format!("{count} refused: `{code}`"));
        let read = [counted(self.equal, "equal"), counted(self.within, "within tolerance")];
        read.into_iter().flatten().chain(refused).collect::<Vec<_>>().join(", ")
    }
}

/// Codes that say of an object what the corpus says of it after `not_analysed:`.
pub(crate) fn codes_of_reason(reason: &str) -> &'static [Code] {
    match reason {
        "pixels_by_reference" => &[Code::UnsupportedTransferSyntax, Code::NoPixelData],
        "video" => &[Code::UnsupportedSopClass, Code::UnsupportedTransferSyntax],
        // One of these has a byte before its data set, and is none for us.
        "no_pixel_data" => &[Code::NoPixelData, Code::NotDicom],
        _ => &[Code::UnsupportedSopClass],
    }
}
