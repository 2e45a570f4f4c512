//! The validators of others, how each is asked, and the messages that are known to be wrong: one table, with the reason of each.
use std::{
    path::{Path, PathBuf},
    process::Command,
};

/// A message that a tool gives about a right object.
struct Known {
    /// Which tool.
    tool: &'static str,
    /// What the line holds.
    line: &'static str,
    /// Why it is no fault of the object. docs/objects.md tells the same.
    reason: &'static str,
}

const fn known(tool: &'static str, line: &'static str, reason: &'static str) -> Known {
    Known { tool, line, reason }
}

/// Every message that is passed over.
const KNOWN: &[Known] = &[
    known(
        "dciodvfy",
        "Device UID",
        "Device UID in Contributing Equipment is type 3 in the standard and asked for by IHE AIR; its table is older",
    ),
    known("dciodvfy", "Standard Extended SOP Class", "follows from Device UID"),
    known(
        "dciodvfy",
        "<QUANTITY>",
        "value 4 of Image Type of a parametric map; its table of 2022 does not have it yet",
    ),
    known("dciodvfy", "<99OVERREAD>", "our own coding scheme, identified in the object as the standard asks"),
    known("dciodvfy", "Value dubious", "a value of the source, taken over as it is"),
    known("dciodvfy", "build DICOMDIR", "a value that the source does not have either"),
    known(
        "dcentvfy",
        "present in one instance but not the other",
        "an attribute of type 2 that the source lacks against the standard; the object has it, empty",
    ),
    known("dcentvfy", "Missing SOPInstanceUID", "the source refers to images that were not sent"),
    known("dcentvfy", "<AccessionNumber>", "its bookkeeping of documents and images"),
    known("dsrdump", "ISO_IR 192", "its checker was built without the table of that character set"),
    known("dsrdump", "template constraints", "it has no check of the template of key objects"),
    known(
        "pixelmed",
        "Missing conditional content item",
        "it judges all groups of a report by one template; ours has lines (1410), segments (1411) and neither (1501)",
    ),
];

/// What a tool found wrong with a file, line by line; `None`: the tool is not here.
pub(crate) fn ask(tool: &str, file: &Path) -> Option<Vec<String>> {
    let (mut command, judged): (Command, fn(&str) -> bool) = match tool {
        "dciodvfy" => (of(&program(tool)?, &[]), |line| {
            line.starts_with("Error") || line.starts_with("Abort") || line.starts_with("Warning")
        }),
        "dsrdump" => (of(&program(tool)?, &["-q", "+Pc"]), |line| {
            line.starts_with("E:") || line.starts_with("F:") || line.starts_with("W:")
        }),
        "dcmpschk" => (of(&program(tool)?, &["-q"]), |line| {
            line.starts_with("E:") || line.starts_with("F:") || line.contains("Test failed")
        }),
        "pixelmed" => (pixelmed()?, |line| line.starts_with("Error") || line.contains("Exception")),
        _ => panic!("{tool} is not one that is asked"),
    };
    let output = command.arg(file).output().ok()?;
    // Each says its mind on either stream; exit statuses alone do not tell (0 beside errors).
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    let mut wrong: Vec<String> = said.lines().filter(|line| judged(line)).map(str::to_owned).collect();
    if tool == "pixelmed" && !(said.contains("IOD validation complete") && said.contains("Found Root Template")) {
        wrong.push(format!("it did not come to its end: {said}"));
    }
    wrong.retain(|line| !is_known(tool, line));
    if wrong.is_empty() && !output.status.success() && tool != "dciodvfy" {
        wrong.push(format!("exit status {}", output.status));
    }
    Some(wrong)
}

/// What `dcentvfy` finds different between files that belong together; `None`: it is not here.
pub(crate) fn entities(files: &[PathBuf]) -> Option<Vec<String>> {
    let output = of(&program("dcentvfy")?, &[]).args(files).output().ok()?;
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    Some(
        said.lines().filter(|line| !line.trim().is_empty() && !is_known("dcentvfy", line)).map(str::to_owned).collect(),
    )
}

fn is_known(tool: &str, line: &str) -> bool {
    KNOWN.iter().any(|known| known.tool == tool && line.contains(known.line))
}

fn of(program: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(args);
    command
}

/// In the virtual environment, else on the PATH.
fn program(name: &str) -> Option<PathBuf> {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("third_party/validators/bin").join(name);
    if own.is_file() {
        return Some(own);
    }
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|dir| dir.join(name)).find(|file| file.is_file())
}

/// With three flags, without which Java 17 refuses its expressions and says so only in an exception.
fn pixelmed() -> Option<Command> {
    let jar = Path::new("/usr/share/java/pixelmed.jar");
    let java = program("java").filter(|_| jar.is_file())?;
    let flags = ["-Djdk.xml.xpathExprGrpLimit=0", "-Djdk.xml.xpathExprOpLimit=0", "-Djdk.xml.xpathTotalOpLimit=0"];
    let mut command = of(&java, &flags);
    command.arg("-cp").arg(jar).arg("com.pixelmed.validate.DicomSRValidator");
    Some(command)
}

#[test]
fn every_message_that_is_passed_over_is_explained_to_readers() {
    let docs = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/objects.md"))
        .expect("docs/objects.md");
    for known in KNOWN {
        let row = format!("| {} | `{}` | {} |", known.tool, known.line, known.reason);
        assert!(docs.contains(&row), "docs/objects.md lacks this line:\n{row}");
    }
}
