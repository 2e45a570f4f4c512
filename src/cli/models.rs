//! `overread models`: what is installed, whether it works, and how to add one.
use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Subcommand;
use serde_json::{Value, json};

use crate::{
    error::{Error, Result},
    infer::{Config, DeviceChoice, Pool},
    model::{self, Existing, Installed, Model, Status},
};

/// Arguments of `overread models`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  overread models list
  overread models verify
  overread models install ./my-model        a folder with model.toml, card.md, weights and golden/
  overread --help                           all commands

models/README.md says how to package a TorchScript classifier in ten minutes.")]
pub(super) struct Args {
    /// Folder that holds one folder per model [default: models, else ../share/overread/models beside the binary]
    #[arg(long, env = "OVERREAD_MODELS", global = true, value_name = "DIR")]
    models_dir: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show the installed models and what they look for
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Check digests and cards, load each model and run its self-test; exit 1 if one fails
    Verify {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Check a model, run its self-test and copy it into the models folder
    Install {
        /// A model folder, or the name of a packaged model
        name_or_path: PathBuf,
        /// Put it in the place of an installed version
        #[arg(long)]
        replace: bool,
    },
}

/// Runs the subcommand; the exit status is 0, or 1 when a model fails its checks or cannot be installed.
pub(super) fn run(args: &Args) -> ExitCode {
    let dir = model::models_dir(args.models_dir.as_deref());
    match &args.command {
        Command::List { json } => {
            let (models, refused) = model::discover(&dir);
            report(&models, &refused, *json, "installed");
            ExitCode::SUCCESS
        }
        Command::Verify { json } => match verify(&dir) {
            Ok((models, refused)) => {
                report(&models, &refused, *json, "works");
                if refused.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
            }
            Err(error) => fail(&error),
        },
        Command::Install { name_or_path, replace } => {
            let existing = if *replace { Existing::Replace } else { Existing::Keep };
            match install(name_or_path, &dir, existing) {
                Ok(line) => {
                    say(&line);
                    ExitCode::SUCCESS
                }
                Err(error) => fail(&error),
            }
        }
    }
}

type Verified = (Vec<Model>, Vec<(String, Error)>);

/// Discovers, loads and self-tests on the CPU.
fn verify(dir: &Path) -> Result<Verified> {
    let (models, mut refused) = model::discover(dir);
    let failed = self_test(&models)?;
    let works = |model: &Model| !failed.iter().any(|(name, _)| name == model.manifest.name.as_str());
    let models = models.into_iter().filter(works).collect();
    refused.extend(failed);
    Ok((models, refused))
}

fn self_test(models: &[Model]) -> Result<Vec<(String, Error)>> {
    let (pool, failed) = Pool::start(&Config { device: DeviceChoice::Cpu, lanes: 1, ..Config::default() }, models)?;
    pool.stop();
    Ok(failed)
}

fn install(name_or_path: &Path, dir: &Path, existing: Existing) -> Result<String> {
    let source = model::find(name_or_path)?;
    let mut model = model::open(&source)?;
    let (name, version) = (model.manifest.name.clone(), model.manifest.version.clone());
    // Tested alone: a model that it requires may be installed later.
    model.manifest.requires = model::Requires::default();
    if let Some((_, error)) = self_test(&[model])?.into_iter().next() {
        return Err(error);
    }
    Ok(match model::install(&source, dir, existing)? {
        Installed::New => format!("installed {name} {version}; a running server takes it at its next start"),
        Installed::Replaced => {
            format!("installed {name} {version} in the place of another; a running server takes it at its next start")
        }
        Installed::Same => format!("{name} {version} is installed already"),
    })
}

fn report(models: &[Model], refused: &[(String, Error)], as_json: bool, state: &str) {
    if as_json {
        let models: Vec<Value> = models.iter().map(|model| describe(model, state)).collect();
        let refused: Vec<Value> = refused.iter().map(|(name, error)| describe_refusal(name, error)).collect();
        say(&json!({ "models": models, "refused": refused }).to_string());
        return;
    }
    let mut rows = vec![["MODEL", "VERSION", "STATE", "LOOKS FOR"].map(str::to_owned)];
    for model in models {
        let manifest = &model.manifest;
        rows.push([manifest.name.to_string(), manifest.version.clone(), state.to_owned(), looks_for(model)]);
    }
    for (name, _) in refused {
        rows.push([name.clone(), "-".to_owned(), "refused".to_owned(), "-".to_owned()]);
    }
    say(&table(&rows));
    for (_, error) in refused {
        complain(error);
    }
}

fn looks_for(model: &Model) -> String {
    let manifest = &model.manifest;
    let shown = |label: &model::Label| match label.status {
        Status::Finding => label.name.to_string(),
        Status::Experimental => format!("({})", label.name),
    };
    match manifest.labels.is_empty() {
        true => "(mask)".to_owned(),
        false => manifest.labels.iter().chain(&manifest.classes).map(shown).collect::<Vec<_>>().join(", "),
    }
}

fn describe(model: &Model, state: &str) -> Value {
    let manifest = &model.manifest;
    let label = |label: &model::Label| {
        json!({
            "name": label.name.as_str(),
            "code": { "value": label.code.value, "scheme": label.code.scheme, "meaning": label.code.meaning },
            "experimental": label.status == Status::Experimental,
            "threshold": label.threshold,
        })
    };
    json!({
        "name": manifest.name.as_str(), "version": manifest.version, "title": manifest.title, "state": state,
        "digest": model.digest, "license": manifest.license, "intended_use": manifest.intended_use,
        "requires": manifest.requires.lungs.as_ref().map(model::Name::as_str),
        "labels": manifest.labels.iter().chain(&manifest.classes).map(label).collect::<Vec<_>>(),
    })
}

fn describe_refusal(name: &str, error: &Error) -> Value {
    json!({ "name": name, "error": {
        "code": error.code.name(), "subject": error.subject.to_string(), "detail": error.detail } })
}

/// Columns padded to their widest cell; the last one is free.
fn table(rows: &[[String; 4]]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let (name, version, state) = (width(0), width(1), width(2));
    let line = |row: &[String; 4]| format!("{:name$}  {:version$}  {:state$}  {}", row[0], row[1], row[2], row[3]);
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn fail(error: &Error) -> ExitCode {
    complain(error);
    ExitCode::from(error.code.row().exit)
}

#[expect(clippy::print_stdout, reason = "the command line's data goes to stdout")]
fn say(text: &str) {
    println!("{text}");
}

#[expect(clippy::print_stderr, reason = "the command line's talk goes to stderr")]
fn complain(error: &Error) {
    eprintln!("{error}\n  do: {}", error.code.row().remedy);
}
