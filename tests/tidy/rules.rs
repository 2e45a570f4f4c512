//! The rules. Each looks at one file and says what it found; none reads another file.
use crate::{
    Offence,
    source::{Source, Token, close_of, starts},
};

/// Room and floor. A room imports only from rooms on lower floors; on floor 0 and floor 10 the order of this table decides.
pub(super) const ROOMS: &[(&str, u8)] = &[
    ("error", 0),
    ("uid", 0),
    ("dicom", 1),
    ("network", 2),
    ("pixel", 2),
    ("model", 3),
    ("infer", 4),
    ("finding", 4),
    ("ledger", 5),
    ("study", 6),
    ("analysis", 7),
    ("deliver", 8),
    ("screening", 8),
    ("gate", 9),
    ("telemetry", 10),
    ("config", 10),
    ("server", 10),
    ("cli", 10),
];

/// Foreign crates, and the one folder that may name them.
const FENCES: &[(&[&str], &str)] = &[
    (&["tch", "torch_sys"], "src/infer/engine"),
    (
        &["tonic", "tonic_prost", "tonic_health", "tonic_reflection", "tonic_types", "prost", "prost_types"],
        "src/gate/grpc",
    ),
    (&["rusqlite"], "src/ledger"),
    (
        &["turbojpeg_sys", "dicom_pixeldata", "dicom_object", "dicom_core", "dicom_parser", "dicom_encoding"],
        "src/dicom",
    ),
    (&["tokio_rustls", "rustls"], "src/gate/dimse"),
    (&["axum"], "src/gate/web"),
    (&["arrow", "parquet"], "src/screening/results"),
    (&["png", "colorous"], "src/pixel"),
    (&["clap", "indicatif"], "src/cli"),
];

/// Modules of the umbrella crate `dicom`, which has the same name as our room.
const DICOM_CRATE: &[&str] =
    &["core", "object", "parser", "encoding", "dictionary_std", "transfer_syntax", "pixeldata", "dump", "ul", "json"];

/// Where time would make an answer depend on more than its arguments.
const PURE: &[&str] = &[
    "src/error",
    "src/uid",
    "src/pixel/",
    "src/model/",
    "src/finding/",
    "src/deliver/format/",
    "src/deliver/kind.rs",
    "src/deliver/plan.rs",
    "src/study/state.rs",
    "src/study/plan.rs",
    "src/study/plan/",
    "src/infer/scheduler",
];

/// Enums whose matches list their variants, with the short names that they go by in state tables.
const LISTED: &[&str] =
    &["State", "S", "Event", "E", "Code", "TargetState", "Receipt", "ReceiptOutcome", "Class", "Stage"];

const NAMELESS: &[&str] = &[
    "util", "utils", "helper", "helpers", "manager", "managers", "common", "misc", "base", "core2", "handler",
    "handlers",
];

const FILE_LINES_MAX: usize = 600;
const FUNCTION_LINES_MAX: usize = 70;

/// Everything that is wrong with a file.
pub(super) fn broken(source: &Source) -> Vec<Offence> {
    type Rule = fn(&Source) -> Vec<(usize, String)>;
    const RULES: &[(&str, Rule)] = &[
        ("imports point down", imports),
        ("foreign types stay in their room", fences),
        ("files are short", file_length),
        ("functions are short", function_length),
        ("no unwrap, expect or panic in the service", panics),
        ("states, events and codes are listed", catch_alls),
        ("only the command line prints", prints),
        ("pure rooms read no clock", clocks),
        ("modules are named after their noun", names),
        ("a file says why it exists", header),
        ("nothing of the machine it was made on", foreign_words),
    ];
    let offence = |rule, (line, what)| Offence { rule, path: source.path.clone(), line, what };
    RULES.iter().flat_map(|(rule, check)| check(source).into_iter().map(move |found| offence(rule, found))).collect()
}

fn room_of(path: &str) -> Option<&str> {
    let inside = path.strip_prefix("src/")?;
    let first = inside.split('/').next()?;
    Some(first.trim_end_matches(".rs")).filter(|room| !matches!(*room, "lib" | "main"))
}

/// Whether `room` may name `other`. `None`: there is no such room.
fn may_name(room: &str, other: &str) -> Option<bool> {
    let place = |name: &str| ROOMS.iter().position(|(known, _)| *known == name);
    let (from, to) = (place(room)?, place(other)?);
    let (from_floor, to_floor) = (ROOMS[from].1, ROOMS[to].1);
    let outermost = matches!(from_floor, 0 | 10);
    Some(room == other || to_floor < from_floor || (outermost && to_floor == from_floor && to < from))
}

fn imports(source: &Source) -> Vec<(usize, String)> {
    let Some(room) = room_of(&source.path) else { return Vec::new() };
    let tokens = &source.tokens;
    let mut found = Vec::new();
    if !ROOMS.iter().any(|(name, _)| *name == room) {
        found.push((1, format!("{room} is not in the table of rooms")));
    }
    for at in 0..tokens.len() {
        if starts(tokens, at, &["super", "::", "super"]) {
            found.push((tokens[at].line, "super::super".to_owned()));
        }
        if !starts(tokens, at, &["crate", "::"]) || (at > 0 && tokens[at - 1].text == "$") {
            continue;
        }
        for other in named_after(tokens, at + 2) {
            match may_name(room, &other.text) {
                Some(true) => {}
                Some(false) => found.push((other.line, format!("{room} names {}", other.text))),
                // A type or macro at the crate's root would belong to no room.
                None => found.push((other.line, format!("crate::{} is not a room", other.text))),
            }
        }
    }
    found
}

/// The first segments after `crate::`: one name, or those of a group, one per comma.
fn named_after(tokens: &[Token], at: usize) -> Vec<&Token> {
    let Some(first) = tokens.get(at) else { return Vec::new() };
    if first.text != "{" {
        return vec![first];
    }
    let (end, mut names, mut index) = (close_of(tokens, at), Vec::new(), at + 1);
    while index < end {
        names.push(&tokens[index]);
        while index < end && tokens[index].text != "," {
            index = if tokens[index].text == "{" { close_of(tokens, index) + 1 } else { index + 1 };
        }
        index += 1;
    }
    names
}

fn fences(source: &Source) -> Vec<(usize, String)> {
    if room_of(&source.path).is_none() {
        return Vec::new();
    }
    let tokens = source.code();
    let inside = |folder: &str| source.path.starts_with(folder) || source.path == format!("{folder}.rs");
    let mut found = Vec::new();
    for at in 0..tokens.len() {
        let before = |back: usize| at.checked_sub(back).map_or("", |index| tokens[index].text.as_str());
        // `room::tch` is a name of ours; `::tch` and `use ::tch` are the crate.
        let word = |text: &str| text != "use" && text.ends_with(|end: char| end.is_alphanumeric() || end == '_');
        let segment = before(1) == "::" && word(before(2));
        let path = tokens.get(at + 1).is_some_and(|next| next.text == "::") || before(1) == "use";
        if segment || !path {
            continue;
        }
        let name = tokens[at].text.as_str();
        for (crates, folder) in FENCES {
            if crates.contains(&name) && !inside(folder) {
                found.push((tokens[at].line, format!("{name} outside {folder}")));
            }
        }
        if name == "dicom"
            && !inside("src/dicom")
            && tokens.get(at + 2).is_some_and(|t| DICOM_CRATE.contains(&t.text.as_str()))
        {
            found.push((tokens[at].line, "the crate dicom outside src/dicom".to_owned()));
        }
    }
    found
}

fn file_length(source: &Source) -> Vec<(usize, String)> {
    let lines = source.text.lines().count();
    let counted = source.path.ends_with(".rs") && lines > FILE_LINES_MAX;
    counted.then(|| (lines, format!("{lines} lines, at most {FILE_LINES_MAX}"))).into_iter().collect()
}

fn function_length(source: &Source) -> Vec<(usize, String)> {
    let tokens = &source.tokens;
    let mut found = Vec::new();
    for at in 0..tokens.len() {
        if tokens[at].text != "fn" {
            continue;
        }
        let mut open = at + 1;
        while open < tokens.len() && !matches!(tokens[open].text.as_str(), "{" | ";") {
            open = if matches!(tokens[open].text.as_str(), "(" | "[") { close_of(tokens, open) + 1 } else { open + 1 };
        }
        if open >= tokens.len() || tokens[open].text == ";" {
            continue;
        }
        let lines = tokens[close_of(tokens, open)].line + 1 - tokens[at].line;
        if lines > FUNCTION_LINES_MAX {
            let name = &tokens[at + 1].text;
            found.push((tokens[at].line, format!("{name} has {lines} lines, at most {FUNCTION_LINES_MAX}")));
        }
    }
    found
}

fn panics(source: &Source) -> Vec<(usize, String)> {
    if !source.path.starts_with("src/") {
        return Vec::new();
    }
    let tokens = source.code();
    let mut found = Vec::new();
    for at in 0..tokens.len() {
        let name = tokens[at].text.as_str();
        let called = at > 0 && tokens[at - 1].text == "." && starts(&tokens, at + 1, &["("]);
        // `Option::unwrap` handed to a `map` is a call, too.
        let named = at > 0 && tokens[at - 1].text == "::";
        let method = matches!(name, "unwrap" | "expect" | "unwrap_err" | "expect_err") && (called || named);
        let macros = ["panic", "todo", "unimplemented", "unreachable"];
        if method || (macros.contains(&name) && starts(&tokens, at + 1, &["!"])) {
            found.push((tokens[at].line, name.to_owned()));
        }
    }
    found
}

fn catch_alls(source: &Source) -> Vec<(usize, String)> {
    if !source.path.starts_with("src/") {
        return Vec::new();
    }
    let tokens = source.code();
    let mut found = Vec::new();
    for at in (0..tokens.len()).filter(|at| tokens[*at].text == "match") {
        let mut open = at + 1;
        while open < tokens.len() && tokens[open].text != "{" {
            open = if matches!(tokens[open].text.as_str(), "(" | "[") { close_of(&tokens, open) + 1 } else { open + 1 };
        }
        if open < tokens.len() {
            let patterns = patterns_of(&tokens, open);
            let ours = |pattern: &&[Token]| {
                (0..pattern.len())
                    .any(|at| LISTED.contains(&pattern[at].text.as_str()) && starts(pattern, at + 1, &["::"]))
            };
            let catch_all = patterns.iter().find(|pattern| pattern.len() == 1 && pattern[0].text == "_");
            if let Some(arm) = catch_all.filter(|_| patterns.iter().any(ours)) {
                found.push((arm[0].line, "_ =>".to_owned()));
            }
        }
    }
    found
}

/// The patterns of a match whose body opens at `open`, guards included.
fn patterns_of(tokens: &[Token], open: usize) -> Vec<&[Token]> {
    let (end, mut at, mut patterns) = (close_of(tokens, open), open + 1, Vec::new());
    let next = |at: usize| match tokens[at].text.as_str() {
        "(" | "[" | "{" => close_of(tokens, at) + 1,
        _ => at + 1,
    };
    while at < end {
        let from = at;
        while at < end && tokens[at].text != "=>" {
            at = next(at);
        }
        patterns.push(&tokens[from..at]);
        at += 1;
        let block = at < end && tokens[at].text == "{";
        if block {
            at = next(at);
        }
        // A bare block ends its arm, unless it goes on as in `{ … }.max(1)`; anything else goes to the comma.
        if !block || (at < end && matches!(tokens[at].text.as_str(), "." | "?")) {
            while at < end && tokens[at].text != "," {
                at = next(at);
            }
        }
        if at < end && tokens[at].text == "," {
            at += 1;
        }
    }
    patterns
}

fn prints(source: &Source) -> Vec<(usize, String)> {
    if !source.path.starts_with("src/") || source.path.starts_with("src/cli") || source.path == "src/main.rs" {
        return Vec::new();
    }
    let tokens = source.code();
    let macros = ["print", "println", "eprint", "eprintln", "dbg"];
    let printing = |at: &usize| macros.contains(&tokens[*at].text.as_str()) && starts(&tokens, at + 1, &["!"]);
    (0..tokens.len()).filter(printing).map(|at| (tokens[at].line, format!("{}!", tokens[at].text))).collect()
}

fn clocks(source: &Source) -> Vec<(usize, String)> {
    if !PURE.iter().any(|folder| source.path.starts_with(folder)) {
        return Vec::new();
    }
    let tokens = source.code();
    let clock = |at: &usize| {
        matches!(tokens[*at].text.as_str(), "Instant" | "SystemTime") && starts(&tokens, at + 1, &["::", "now"])
    };
    (0..tokens.len()).filter(clock).map(|at| (tokens[at].line, format!("{}::now", tokens[at].text))).collect()
}

fn names(source: &Source) -> Vec<(usize, String)> {
    let parts = source.path.trim_end_matches(".rs").split('/').map(|part| (1, part));
    let inline =
        source.tokens.windows(2).filter(|pair| pair[0].text == "mod").map(|pair| (pair[1].line, pair[1].text.as_str()));
    parts
        .chain(inline)
        .filter(|(_, name)| NAMELESS.contains(name))
        .map(|(line, name)| (line, name.to_owned()))
        .collect()
}

fn header(source: &Source) -> Vec<(usize, String)> {
    let mut lines = source.text.lines();
    let first = lines.next().unwrap_or_default();
    let second = lines.next().unwrap_or_default();
    let extension = source.path.rsplit_once('.').map_or("", |(_, extension)| extension);
    let says = match extension {
        "rs" => first.starts_with("//! ") && first.len() > 20,
        "proto" => first.starts_with("// "),
        "py" => first.starts_with("\"\"\"") || second.starts_with("\"\"\"") || second.starts_with("# "),
        _ if first.starts_with("#!/") => second.starts_with("# "),
        _ => true,
    };
    (!says).then(|| (1, "no header comment".to_owned())).into_iter().collect()
}

fn foreign_words(source: &Source) -> Vec<(usize, String)> {
    // Put together here so that this file does not find itself.
    let words = [
        ["/wo", "rk/"],
        ["/ro", "ot/"],
        ["/ho", "me/"],
        ["pypi", ".org"],
        ["pythonhosted", ".org"],
        ["registry.npmjs", ".org"],
    ]
    .map(|parts| parts.concat());
    let mut found = Vec::new();
    for (index, line) in source.text.lines().enumerate() {
        for word in words.iter().filter(|word| line.contains(word.as_str())) {
            found.push((index + 1, word.clone()));
        }
    }
    found
}
