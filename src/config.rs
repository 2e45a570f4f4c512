//! Configuration: joins the rooms' own structs from a TOML file, then the environment, then flags.
//!
//! Every key `section.key` can be given in the file, as `OVERREAD_SECTION_KEY` in the environment, and by `--set`.
//! Unknown keys are refused; values are checked when the server starts.
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::{
    analysis, dicom,
    error::{Code, Error, Result, Subject},
    gate::{dimse, grpc},
    infer, ledger, study, telemetry,
};

/// The whole configuration; `overread serve --print-config` shows it with the values in force.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where it listens, and where its data lie.
    pub server: Server,
    /// Limits on what is read.
    pub dicom: dicom::Limits,
    /// Where compressed frames are decoded.
    pub decode: dicom::DecodeConfig,
    /// Durable storage.
    pub ledger: ledger::Config,
    /// When a study is complete.
    pub study: study::Config,
    /// How models run.
    pub infer: infer::Config,
    /// How studies are worked on.
    pub analysis: analysis::Config,
    /// How much the gRPC API takes at a time.
    pub grpc: grpc::Config,
    /// The DICOM port, and who may send to it.
    pub dimse: dimse::Config,
    /// What is logged.
    pub log: telemetry::Config,
}

/// Addresses and folders.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Server {
    /// Address of the gRPC API. Port 0 takes a free one. It is plain text without accounts: keep it on loopback.
    pub listen: String,
    /// Everything durable lies here; one server at a time.
    pub data_dir: PathBuf,
    /// Model folders; empty: `models` here, else beside the installed binary.
    pub models_dir: PathBuf,
    /// On shutdown, how long running work may take to end before it is left to the next start, seconds.
    pub drain_s: u64,
}

impl Default for Server {
    fn default() -> Server {
        Server {
            listen: "127.0.0.1:7410".to_owned(),
            data_dir: PathBuf::from("overread-data"),
            models_dir: PathBuf::new(),
            drain_s: 20,
        }
    }
}

/// One value from outside the file: `section.key` and its text.
pub type Override = (String, String);

impl Config {
    /// Reads `file` (if given), then `environment` (pairs of any process environment), then `flags`.
    ///
    /// Errors: `InvalidArgument` that names the file's line, the variable or the key.
    pub fn load(
        file: Option<&Path>,
        environment: impl Iterator<Item = (String, String)>,
        flags: &[Override],
    ) -> Result<Config> {
        let defaults = table_of(&Config::default())?;
        let mut table = match file {
            Some(path) => read_file(path)?,
            None => toml::Table::new(),
        };
        for (name, value) in environment {
            if let Some((section, key)) = key_of_variable(&defaults, &name) {
                set(&mut table, &defaults, &section, &key, &value).map_err(|e| e.about(Subject::Field(name)))?;
            }
        }
        for (path, value) in flags {
            let (section, key) = path.split_once('.').unwrap_or((path, ""));
            set(&mut table, &defaults, section, key, value).map_err(|e| e.about(Subject::Field(path.clone())))?;
        }
        table.try_into().map_err(|e: toml::de::Error| Error::new(Code::InvalidArgument, e.message().to_owned()))
    }

    /// The configuration as a TOML file.
    pub fn to_toml(&self) -> Result<String> {
        toml::to_string_pretty(self).map_err(|_| Error::internal("the configuration does not print"))
    }
}

fn table_of(config: &Config) -> Result<toml::Table> {
    toml::Table::try_from(config).map_err(|_| Error::internal("the configuration is not a table"))
}

/// Reads and checks the file alone first, so that a mistake is shown with its line.
fn read_file(path: &Path) -> Result<toml::Table> {
    let shown = path.display();
    let refuse = |what: String| Error::new(Code::InvalidArgument, what).about(Subject::Field("--config".to_owned()));
    let text = std::fs::read_to_string(path).map_err(|e| refuse(format!("{shown} cannot be read ({})", e.kind())))?;
    toml::from_str::<Config>(&text).map_err(|e| refuse(format!("{shown}: {}", e.to_string().trim_end())))?;
    toml::from_str(&text).map_err(|e| refuse(format!("{shown}: {e}")))
}

/// `OVERREAD_SERVER_DATA_DIR` → (`server`, `data_dir`), for keys that exist.
fn key_of_variable(defaults: &toml::Table, name: &str) -> Option<(String, String)> {
    let rest = name.strip_prefix("OVERREAD_")?.to_ascii_lowercase();
    defaults.iter().find_map(|(section, keys)| {
        let key = rest.strip_prefix(section.as_str())?.strip_prefix('_')?;
        keys.as_table()?.contains_key(key).then(|| (section.clone(), key.to_owned()))
    })
}

/// Puts `text` at `section.key`, as a value of the type that the default has.
fn set(table: &mut toml::Table, defaults: &toml::Table, section: &str, key: &str, text: &str) -> Result<()> {
    let default = defaults.get(section).and_then(|keys| keys.get(key));
    let bad = |what: &str| Error::new(Code::InvalidArgument, what.to_owned());
    let value = match default {
        None => return Err(bad("there is no such key; `overread serve --print-config` lists them")),
        Some(toml::Value::Integer(_)) => {
            text.parse().map(toml::Value::Integer).map_err(|_| bad("a whole number is needed"))?
        }
        Some(toml::Value::Float(_)) => text.parse().map(toml::Value::Float).map_err(|_| bad("a number is needed"))?,
        Some(toml::Value::Boolean(_)) => {
            text.parse().map(toml::Value::Boolean).map_err(|_| bad("true or false is needed"))?
        }
        Some(toml::Value::Array(_)) => text
            .parse::<toml::Value>()
            .ok()
            .filter(toml::Value::is_array)
            .ok_or_else(|| bad("a list is needed, for example [{ calling = \"CT1\" }]"))?,
        Some(_) => toml::Value::String(text.to_owned()),
    };
    let keys = table.entry(section.to_owned()).or_insert_with(|| toml::Value::Table(toml::Table::new()));
    match keys.as_table_mut() {
        Some(keys) => {
            keys.insert(key.to_owned(), value);
            Ok(())
        }
        None => Err(bad("the section is not a table in the file")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(file: &str, environment: &[(&str, &str)], flags: &[(&str, &str)]) -> Result<Config> {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let path = dir.path().join("overread.toml");
        std::fs::write(&path, file).expect("the file is written");
        let own = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
            pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
        };
        Config::load(Some(&path), own(environment).into_iter(), &own(flags))
    }

    #[test]
    fn flags_win_over_environment_over_file_over_defaults() {
        let file = "[server]\nlisten = \"127.0.0.1:1\"\ndrain_s = 5\n[study]\nquiet_period_s = 7\n";
        let environment = [("OVERREAD_SERVER_LISTEN", "127.0.0.1:2"), ("OVERREAD_STUDY_QUIET_PERIOD_S", "8")];
        let config = load(file, &environment, &[("study.quiet_period_s", "9")]).expect("a valid configuration");
        assert_eq!(config.server.listen, "127.0.0.1:2");
        assert_eq!(config.server.drain_s, 5);
        assert_eq!(config.study.quiet_period_s, 9);
        assert_eq!(config.server.data_dir, Server::default().data_dir);
    }

    #[test]
    fn a_mistake_in_the_file_is_shown_with_its_line() {
        let error = load("[server]\nlisten = \"127.0.0.1:1\"\nlissen = 3\n", &[], &[]).expect_err("unknown key");
        assert_eq!(error.code, Code::InvalidArgument);
        assert!(error.detail.contains("line 3") && error.detail.contains("lissen"), "{error}");
    }

    #[test]
    fn a_mistake_elsewhere_names_the_variable_or_the_key() {
        let error = load("", &[("OVERREAD_SERVER_DRAIN_S", "soon")], &[]).expect_err("not a number");
        assert_eq!(error.subject, Subject::Field("OVERREAD_SERVER_DRAIN_S".to_owned()));
        let error = load("", &[], &[("server.port", "1")]).expect_err("no such key");
        assert_eq!(error.subject, Subject::Field("server.port".to_owned()));
    }

    #[test]
    fn what_is_printed_can_be_read_again() {
        let printed = Config::default().to_toml().expect("prints");
        load(&printed, &[], &[]).expect("reads");
    }
}
