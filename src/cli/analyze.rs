//! `overread analyze`: sends files to a server (or to one that it starts for the call) and shows what was found.
//!
//! It is always a client of the gRPC API: what it shows is what any other client gets.
use std::{
    io::IsTerminal,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use bytes::Bytes;
use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use tokio::sync::mpsc;

use super::{
    fail,
    gather::{Gathered, gather},
    objects::{self, Profile},
    outcome::{Outcome, SentFile, StudyOutcome},
    overlays, parse_set, runtime, table,
};
use crate::{
    config::Config,
    error::{Code, Error, Result, Subject},
    gate::grpc::client::{Client, Event, Update},
    ledger::State,
    server::Server,
    telemetry,
};

/// Instances read ahead of the one being sent: enough to keep the connection busy, few enough to bound memory.
const READ_AHEAD: usize = 2;

/// Options of `overread analyze`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  overread analyze chest.dcm                       analyse one file here, without a server
  overread analyze /archive/2024 --out results     a folder: grouped by study, results/report.json and overlays
  overread analyze head-ct/ --overlays pictures    a series: the key slices of each finding as pictures
  overread analyze chest.dcm --dicom results       the results as DICOM objects, for a PACS or a viewer
  overread analyze chest.dcm --server http://127.0.0.1:7410 --format json

Exit status: 0 something was analysed, 1 failure, 2 wrong usage, 3 nothing could be analysed (the reasons are shown).
Research use only.")]
pub(super) struct AnalyzeArgs {
    /// DICOM files, or folders of them
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// A running server; without it one is started for this call, and its data are thrown away afterwards
    #[arg(long, value_name = "URL", env = "OVERREAD_SERVER")]
    server: Option<String>,
    /// Write report.json, and overlay PNGs as --overlays does, into this folder
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Write one overlay PNG per finding looked for, of a series one per key slice, into this folder
    #[arg(long, value_name = "DIR")]
    overlays: Option<PathBuf>,
    /// Write the results as DICOM objects into this folder (SR, SEG, pictures...; docs/objects.md)
    #[arg(long, value_name = "DIR")]
    dicom: Option<PathBuf>,
    /// With --dicom: which objects
    #[arg(long, value_enum, default_value_t = Profile::All, requires = "dicom")]
    profile: Profile,
    /// What goes to standard output
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
    /// Without --server: folder of models
    #[arg(long, value_name = "DIR", env = "OVERREAD_MODELS")]
    models_dir: Option<PathBuf>,
    /// Without --server: also report labels that did not pass the gate of their model card
    #[arg(long, conflicts_with = "server")]
    experimental: bool,
    /// Without --server: any key of the configuration, for example `--set infer.device=cpu`
    #[arg(long = "set", value_name = "SECTION.KEY=VALUE", conflicts_with = "server")]
    set: Vec<String>,
}

impl AnalyzeArgs {
    /// Where overlays go.
    fn pictures(&self) -> Option<&Path> {
        self.overlays.as_deref().or(self.out.as_deref())
    }
}

/// How the outcome is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people
    Table,
    /// One JSON object, schema overread.report/1
    Json,
}

/// Runs the command.
#[must_use]
pub(super) fn run(args: &AnalyzeArgs) -> ExitCode {
    match runtime().and_then(|runtime| runtime.block_on(analyze(args))) {
        Ok(outcome) => outcome.exit(),
        Err(error) => fail(&error),
    }
}

async fn analyze(args: &AnalyzeArgs) -> Result<Outcome> {
    let looking = spinner("looking for files");
    let gathered = gather(&args.paths, || looking.inc(1))?;
    looking.finish_and_clear();
    let outcome = match &args.server {
        Some(url) => analyze_at(url, gathered, args).await?,
        None => analyze_here(args, gathered).await?,
    };
    if let Some(out) = &args.out {
        outcome.write_report(out)?;
    }
    match args.format {
        Format::Table => print!("{}", table::outcome(&outcome)),
        Format::Json => println!("{:#}", outcome.to_json()?),
    }
    Ok(outcome)
}

/// Starts a server on loopback over a temporary folder, and throws both away.
async fn analyze_here(args: &AnalyzeArgs, gathered: Gathered) -> Result<Outcome> {
    let unusable = |_| Error::new(Code::StorageFull, "no temporary folder can be made (TMPDIR)");
    let scratch = tempfile::Builder::new().prefix("overread-").tempdir().map_err(unusable)?;
    let mut overrides = vec![
        ("server.listen".to_owned(), "127.0.0.1:0".to_owned()),
        ("server.data_dir".to_owned(), scratch.path().display().to_string()),
        ("server.drain_s".to_owned(), "1".to_owned()),
        ("analysis.experimental".to_owned(), args.experimental.to_string()),
        ("log.level".to_owned(), "warn".to_owned()),
    ];
    if let Some(dir) = &args.models_dir {
        overrides.push(("server.models_dir".to_owned(), dir.display().to_string()));
    }
    for pair in &args.set {
        overrides.push(parse_set(pair)?);
    }
    let config = Config::load(None, std::env::vars(), &overrides)?;
    telemetry::start(&config.log)?;
    let loading = spinner("loading models");
    let server = Server::start(config).await?;
    loading.finish_and_clear();
    let outcome = analyze_at(&format!("http://{}", server.address), gathered, args).await;
    server.stop().await?;
    outcome
}

async fn analyze_at(url: &str, gathered: Gathered, args: &AnalyzeArgs) -> Result<Outcome> {
    let client = Client::connect(url).await?;
    let bar = progress(gathered.values().map(Vec::len).sum());
    let mut outcome = Outcome::default();
    for files in gathered.into_values() {
        let mut call = one_call(&client, files, &bar).await?;
        for study in &mut call.studies {
            study.complete(&client).await?;
            if let Some(folder) = args.pictures() {
                overlays::write(&client, folder, study).await?;
            }
            if let Some(folder) = args.dicom.as_deref().filter(|_| study.state != State::Refused) {
                objects::write(&client, folder, &study.study, Some(study.revision), args.profile).await?;
            }
        }
        outcome.add(call);
    }
    bar.finish_and_clear();
    Ok(outcome)
}

/// One Analyze call: the files of one study go up while receipts and events come down.
async fn one_call(client: &Client, files: Vec<PathBuf>, bar: &ProgressBar) -> Result<Outcome> {
    let (readable, mut sent) = readable(files);
    let (instances, to_send) = mpsc::channel(READ_AHEAD);
    let paths = readable.clone();
    let reading = tokio::spawn(async move {
        for path in paths {
            // A file that goes away between the two looks is sent empty: the server says what it thinks of it.
            let bytes = tokio::task::spawn_blocking(move || std::fs::read(path).unwrap_or_default()).await;
            let ended = instances.send(Bytes::from(bytes.unwrap_or_default())).await.is_err();
            if ended {
                return;
            }
        }
    });
    let mut analysis = client.analyze(to_send).await?;
    let mut studies: Vec<StudyOutcome> = Vec::new();
    while let Some(update) = analysis.next().await? {
        match update {
            Update::Receipt(receipt) => {
                bar.inc(1);
                let path = usize::try_from(receipt.index).ok().and_then(|index| readable.get(index));
                let path = path.ok_or_else(|| Error::internal("the server answered for a file that was not sent"))?;
                sent.push(SentFile::answered(path.clone(), receipt));
            }
            Update::Event(event) => {
                let study = StudyOutcome::of(&mut studies, &event.study, event.revision);
                note(bar, &event.event);
                study.take(event.event);
            }
        }
    }
    // The call is over: whatever was left to read is not wanted.
    reading.abort();
    Ok(Outcome { files: sent, studies })
}

/// Files that can be opened and hold something, and a line for each that cannot or does not.
fn readable(files: Vec<PathBuf>) -> (Vec<PathBuf>, Vec<SentFile>) {
    let (mut readable, mut refused) = (Vec::new(), Vec::new());
    for path in files {
        let detail = match std::fs::File::open(&path).and_then(|file| file.metadata()) {
            Ok(meta) if meta.len() > 0 => {
                readable.push(path);
                continue;
            }
            Ok(_) => "the file is empty".to_owned(),
            Err(error) => format!("the file cannot be opened ({})", error.kind()),
        };
        refused.push(SentFile::refused(path, Error { code: Code::NotDicom, subject: Subject::None, detail }));
    }
    (readable, refused)
}

fn note(bar: &ProgressBar, event: &Event) {
    match event {
        Event::TargetStarted { model, .. } => bar.set_message(format!("{model} is reading")),
        Event::Finding(finding) => bar.set_message(format!("{} {:.2}", finding.label, finding.probability)),
        Event::Sealed { .. }
        | Event::TargetPlanned { .. }
        | Event::NotAnalysed { .. }
        | Event::Progress { .. }
        | Event::Heatmap { .. }
        | Event::Segmentation { .. }
        | Event::Reported
        | Event::Quarantined(_)
        | Event::Refused
        | Event::Deleted => {}
    }
}

/// Progress is for people: on a terminal only, and on stderr.
fn progress(files: usize) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} files  {msg}")
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(files as u64).with_style(style)
}

fn spinner(what: &'static str) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let spinner = ProgressBar::new_spinner().with_message(what);
    spinner.enable_steady_tick(Duration::from_millis(100));
    spinner
}
