//! The closed code set: one row per code is the only place that knows how each door says it.
//!
//! The proto enum and the table in docs/codes.md list the same rows; `tests/codes.rs` compares them.

/// Whose matter a code is (architecture.md, section 5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// The instance was not taken.
    Refused,
    /// Stored, but an image, series or study was not analysed.
    NotAnalysed,
    /// The service could not do it now.
    Service,
    /// The request was wrong.
    Request,
}

/// Whether trying again can help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// The same input gives the same answer.
    Never,
    /// The same input may pass after a while.
    Later,
    /// It may pass once the sender or the administrator has changed something.
    AfterChange,
}

/// The gRPC status names that codes map to (grpc.io status codes).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are gRPC's own")]
pub enum Grpc {
    Cancelled = 1,
    InvalidArgument = 3,
    DeadlineExceeded = 4,
    NotFound = 5,
    AlreadyExists = 6,
    PermissionDenied = 7,
    ResourceExhausted = 8,
    FailedPrecondition = 9,
    Aborted = 10,
    Internal = 13,
    Unavailable = 14,
    Unauthenticated = 16,
}

/// Everything the doors say about a code.
#[derive(Debug)]
pub struct Row {
    /// The code itself.
    pub code: Code,
    /// Its name in the API and in JSON: upper snake case.
    pub name: &'static str,
    /// Whose matter it is.
    pub family: Family,
    /// What it means, in a person's words.
    pub means: &'static str,
    /// What to do about it.
    pub remedy: &'static str,
    /// gRPC status.
    pub grpc: Grpc,
    /// DIMSE status of a C-STORE response (PS3.4 B.2.3, PS3.7 C). Codes that arise only after storing say success.
    pub dimse: u16,
    /// HTTP status.
    pub http: u16,
    /// Exit status of a command that ends because of it.
    pub exit: u8,
    /// Whether trying again can help.
    pub retry: Retry,
}

macro_rules! codes {
    ($($code:ident $name:literal $family:ident $grpc:ident $dimse:literal $http:literal $exit:literal $retry:ident
       $means:literal $remedy:literal;)*) => {
        /// One of the closed set of outcomes. Its row says how every door expresses it.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code { $(#[doc = $means] $code,)* }

        /// All codes, in the order of the API's enum.
        pub const TABLE: &[Row] = &[$(Row {
            code: Code::$code, name: $name, family: Family::$family, means: $means, remedy: $remedy,
            grpc: Grpc::$grpc, dimse: $dimse, http: $http, exit: $exit, retry: Retry::$retry,
        },)*];
    };
}

codes! {
    NotDicom "NOT_DICOM" Refused InvalidArgument 0xC000 415 3 Never
        "This is not a DICOM file."
        "Send Part 10 files or DICOM data sets; if it is one, check that it was exported whole.";
    Truncated "TRUNCATED" Refused InvalidArgument 0xC000 400 3 AfterChange
        "The bytes end before the object does."
        "Send it again from the source; if it happens again, the stored file itself is cut.";
    HeaderImplausible "HEADER_IMPLAUSIBLE" Refused InvalidArgument 0xC000 400 3 Never
        "The header lacks something that is needed or contradicts itself."
        "Check the sender's export; the detail names the attribute.";
    TooLarge "TOO_LARGE" Refused InvalidArgument 0xC000 413 3 AfterChange
        "The object asks for more than this server accepts."
        "Check the sender's export; if such objects are meant, raise the limit that the detail names and send again.";
    UnsupportedSopClass "UNSUPPORTED_SOP_CLASS" Refused InvalidArgument 0x0122 415 3 Never
        "Objects of this SOP Class are not images that overread reads."
        "Send images only; route reports, segmentations and documents elsewhere.";
    UnsupportedTransferSyntax "UNSUPPORTED_TRANSFER_SYNTAX" Refused InvalidArgument 0x0122 415 3 AfterChange
        "The pixels are encoded in a way that this build does not decode."
        "Send it uncompressed or in a transfer syntax of the published table.";
    NoPixelData "NO_PIXEL_DATA" Refused InvalidArgument 0xC000 400 3 Never
        "The object holds no pixel data."
        "Nothing to do if none was expected; otherwise check the sender's export.";
    PixelLayoutInvalid "PIXEL_LAYOUT_INVALID" Refused InvalidArgument 0xC000 400 3 Never
        "The attributes that say how pixels are stored are invalid or contradict the data."
        "Check Bits Allocated, Bits Stored, High Bit, Samples per Pixel and the length of Pixel Data at the sender.";
    DecodeFailed "DECODE_FAILED" Refused InvalidArgument 0xC000 400 3 AfterChange
        "The compressed pixel data is damaged."
        "Send it again from the source; if it happens again, the stored file itself is damaged.";
    DecodeTimeout "DECODE_TIMEOUT" Refused DeadlineExceeded 0xC000 400 3 Later
        "Decoding took longer than is allowed."
        "Send it again when the server is less busy; if it happens again, the file is likely hostile or damaged.";
    UidConflict "UID_CONFLICT" Refused AlreadyExists 0x0111 409 3 Never
        "Another object with the same SOP Instance UID and different content is already stored."
        "Find out at the sender which of the two is right; both are kept.";
    PatientMismatch "PATIENT_MISMATCH" Refused InvalidArgument 0xC000 409 3 Never
        "The object names another patient than the rest of its study."
        "Check the study at the source; it may mix two patients.";
    NoModelApplies "NO_MODEL_APPLIES" NotAnalysed FailedPrecondition 0x0000 422 3 AfterChange
        "No installed model reads this kind of image."
        "Nothing to do, or install a model for it (overread models list).";
    WrongModality "WRONG_MODALITY" NotAnalysed FailedPrecondition 0x0000 422 3 Never
        "The model does not read this modality."
        "Route this modality to a model that reads it.";
    WrongBodyPart "WRONG_BODY_PART" NotAnalysed FailedPrecondition 0x0000 422 3 Never
        "The image does not show the body part that the model reads."
        "Check Body Part Examined at the modality, or route it elsewhere.";
    WrongView "WRONG_VIEW" NotAnalysed FailedPrecondition 0x0000 422 3 Never
        "The image is not in a view that the model reads."
        "Send the view that the model card names.";
    OutOfDistribution "OUT_OF_DISTRIBUTION" NotAnalysed FailedPrecondition 0x0000 422 3 Never
        "The image is unlike those that the model was trained and tested on."
        "Read the limits in the model card; such an image needs human eyes alone.";
    GeometryInconsistent "GEOMETRY_INCONSISTENT" NotAnalysed FailedPrecondition 0x0000 422 3 Never
        "The positions or orientations of the slices contradict each other."
        "Check the series at the source.";
    SlicesMissing "SLICES_MISSING" NotAnalysed FailedPrecondition 0x0000 422 3 AfterChange
        "Slices are missing from the series."
        "Send the series again, whole.";
    TooFewSlices "TOO_FEW_SLICES" NotAnalysed FailedPrecondition 0x0000 422 3 AfterChange
        "The series has fewer slices than the model needs."
        "Send the whole series, or one that the model card names.";
    DerivedImage "DERIVED_IMAGE" NotAnalysed FailedPrecondition 0x0000 422 3 Never
        "The image is derived from others, and the model reads originals only."
        "Send the original images.";
    QualityTooLow "QUALITY_TOO_LOW" NotAnalysed FailedPrecondition 0x0000 422 3 Never
        "The image is too poor for the model: small, flat, inverted or cut."
        "Check the image; repeat the exposure's export if it should be better.";
    Quarantined "QUARANTINED" NotAnalysed Aborted 0x0000 422 3 Never
        "Work on this study stopped the service repeatedly, so it was put aside."
        "Keep the study and report it; `overread explain` shows what was running.";
    Busy "BUSY" Service ResourceExhausted 0xA700 503 1 Later
        "The server has as much work as it accepts."
        "Send again after a moment.";
    StorageFull "STORAGE_FULL" Service ResourceExhausted 0xA700 507 1 Later
        "There is no room left to store the object durably."
        "Free disk space on the server, then send again; what was acknowledged is safe.";
    DeadlineExceeded "DEADLINE_EXCEEDED" Service DeadlineExceeded 0x0110 504 1 Later
        "The work did not end within the time that the caller allowed."
        "Ask again with more time, or fetch the report later: analysis goes on.";
    Cancelled "CANCELLED" Service Cancelled 0xFE00 499 1 Later
        "The caller withdrew the call."
        "Nothing to do; what was acknowledged is kept.";
    ShuttingDown "SHUTTING_DOWN" Service Unavailable 0xA700 503 1 Later
        "The server is shutting down."
        "Send again to another server, or after its restart.";
    ModelUnavailable "MODEL_UNAVAILABLE" Service Unavailable 0x0110 503 1 AfterChange
        "The model cannot be used: its files failed a check, or it did not load."
        "See `overread models verify`; reinstall the model.";
    DeviceLost "DEVICE_LOST" Service Unavailable 0x0110 503 1 Later
        "The device that runs models is gone."
        "The server restarts itself and resumes; check the device if it happens again.";
    Internal "INTERNAL" Service Internal 0x0110 500 1 Later
        "Something went wrong in overread itself."
        "Report it with the server's log of that moment; nothing acknowledged was lost.";
    InvalidArgument "INVALID_ARGUMENT" Request InvalidArgument 0x0106 400 2 Never
        "The request is not valid."
        "Correct the field that the detail names.";
    NotFound "NOT_FOUND" Request NotFound 0x0112 404 1 Never
        "There is no such thing here."
        "Check the name; `overread explain` and ListStudies show what is here.";
    AlreadyExists "ALREADY_EXISTS" Request AlreadyExists 0x0111 409 1 Never
        "It exists already."
        "Use the existing one, or another name.";
    Unauthenticated "UNAUTHENTICATED" Request Unauthenticated 0x0124 401 1 AfterChange
        "The caller is not known."
        "Present valid credentials.";
    PermissionDenied "PERMISSION_DENIED" Request PermissionDenied 0x0124 403 1 AfterChange
        "The caller may not do this."
        "Ask the administrator for the right.";
    ContentMismatch "CONTENT_MISMATCH" Refused InvalidArgument 0xA900 409 3 Never
        "The object is not the one that the request names: its SOP Class or SOP Instance UID is another."
        "Check the sender: its index and its files disagree.";
}

impl Code {
    /// The row of this code.
    pub fn row(self) -> &'static Row {
        &TABLE[self as usize]
    }

    /// Upper snake case, as in the API and in JSON, for example `NO_PIXEL_DATA`.
    pub fn name(self) -> &'static str {
        self.row().name
    }

    /// The code of that upper-snake name, if there is one.
    pub fn from_name(name: &str) -> Option<Code> {
        TABLE.iter().find(|row| row.name == name).map(|row| row.code)
    }
}

impl std::fmt::Display for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_stands_at_its_codes_place() {
        for (index, row) in TABLE.iter().enumerate() {
            assert_eq!(row.code as usize, index, "{}", row.name);
            assert_eq!(Code::from_name(row.name), Some(row.code));
        }
    }
}
