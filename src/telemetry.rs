//! Logs: set up once, to stderr, without patient data.
use serde::{Deserialize, Serialize};
use tracing_subscriber::EnvFilter;

use crate::error::{Code, Error, Result, Subject};

/// The room's configuration.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// `error`, `warn`, `info`, `debug` or `trace`; for overread alone, libraries stay at `warn`.
    pub level: String,
    /// `text` for people, `json` for log collectors.
    pub format: Format,
}

/// How a log line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// One line of text an event.
    Text,
    /// One JSON object an event.
    Json,
}

impl Default for Config {
    fn default() -> Config {
        Config { level: "info".to_owned(), format: Format::Text }
    }
}

/// Starts logging for the process; a second call changes nothing.
///
/// Errors: `InvalidArgument` for a level that there is not.
pub fn start(config: &Config) -> Result<()> {
    let known = ["error", "warn", "info", "debug", "trace"];
    if !known.contains(&config.level.as_str()) {
        let detail = format!("a level is one of {}", known.join(", "));
        return Err(Error::new(Code::InvalidArgument, detail).about(Subject::Field("log.level".to_owned())));
    }
    // DICOM libraries log element values: those never reach a log.
    let filter = format!(
        "warn,dicom_object=off,dicom_parser=off,dicom_encoding=off,dicom_pixeldata=off,dicom_core=off,overread={}",
        config.level
    );
    let filter = EnvFilter::try_new(filter).map_err(|_| Error::internal("the log filter does not parse"))?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false);
    // Already set: a test or an embedding program has its own subscriber, which stays.
    let _kept = match config.format {
        Format::Text => builder.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).try_init(),
        Format::Json => builder.json().try_init(),
    };
    Ok(())
}
