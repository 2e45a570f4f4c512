//! Outcomes: the closed code set, and the error that carries a code, a subject and a sentence.
//!
//! Knows nothing else. Invariants
//! - An error never carries patient data, file paths, or another library's error text.
//! - The subject names what it happened to; the detail is for a person; the code is for programs.
mod code;

pub use code::{Code, Family, Grpc, Retry, Row, TABLE};

/// What an error is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// The call or the service as a whole.
    None,
    /// A SOP Instance, by UID.
    Instance(String),
    /// A series, by UID.
    Series(String),
    /// A study, by UID.
    Study(String),
    /// An attribute of the object at hand: (group, element).
    Tag(u16, u16),
    /// A field of the request or a key of the configuration, by its path.
    Field(String),
    /// A model, by name.
    Model(String),
}

impl std::fmt::Display for Subject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Subject::None => Ok(()),
            Subject::Instance(uid) => write!(f, "instance {uid}"),
            Subject::Series(uid) => write!(f, "series {uid}"),
            Subject::Study(uid) => write!(f, "study {uid}"),
            Subject::Tag(group, element) => write!(f, "attribute ({group:04X},{element:04X})"),
            Subject::Field(name) => write!(f, "field {name}"),
            Subject::Model(name) => write!(f, "model {name}"),
        }
    }
}

/// A coded outcome that is not success.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    /// For programs.
    pub code: Code,
    /// What it happened to.
    pub subject: Subject,
    /// One sentence part for a person; no patient data, no path.
    pub detail: String,
}

/// `std::result::Result` with the coded [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// An error about the call or the service as a whole.
    pub fn new(code: Code, detail: impl Into<String>) -> Error {
        Error { code, subject: Subject::None, detail: detail.into() }
    }

    /// A broken invariant of our own; the cause goes to the log where it is handled, never into the detail.
    pub fn internal(what: impl Into<String>) -> Error {
        Error::new(Code::Internal, what)
    }

    /// The same outcome, about `subject`.
    pub fn about(mut self, subject: Subject) -> Error {
        self.subject = subject;
        self
    }

    /// The same outcome about `instance`, unless it is already about something.
    pub fn about_instance(self, sop_instance_uid: &str) -> Error {
        match self.subject {
            Subject::None | Subject::Tag(..) => {
                let detail = match &self.subject {
                    Subject::Tag(..) => format!("{}: {}", self.subject, self.detail),
                    _ => self.detail,
                };
                Error { code: self.code, subject: Subject::Instance(sop_instance_uid.to_owned()), detail }
            }
            _ => self,
        }
    }
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: ", self.code)?;
        if self.subject != Subject::None {
            write!(f, "{}: ", self.subject)?;
        }
        f.write_str(&self.detail)
    }
}

impl std::error::Error for Error {}
