//! The conformance statement lists what the tables of the code list: SOP classes, transfer syntaxes, statuses.
mod support;

use overread::{
    dicom::{IMAGE_SOP_CLASSES, TRANSFER_SYNTAXES},
    gate::dimse::statuses,
};
use support::page::check_section;

const PAGE: &str = "deploy/conformance.md";

// One test: three that write one page at once would write over each other.
#[test]
fn the_statement_lists_what_the_tables_of_the_code_list() {
    classes();
    syntaxes();
    statuses_of_responses();
}

fn classes() {
    let rows = IMAGE_SOP_CLASSES.iter().map(|(uid, name)| format!("| {name} | `{uid}` | no | yes |\n"));
    let head =
        "| SOP class | UID | SCU | SCP |\n|---|---|---|---|\n| Verification | `1.2.840.10008.1.1` | no | yes |\n";
    check_section(PAGE, "classes", &rows.fold(head.to_owned(), |page, row| page + &row));
}

fn syntaxes() {
    let rows = TRANSFER_SYNTAXES.iter().map(|row| format!("| {} | `{}` |\n", row.name, row.uid));
    let head = "| Transfer syntax | UID |\n|---|---|\n".to_owned();
    check_section(PAGE, "syntaxes", &rows.fold(head, |page, row| page + &row));
}

fn statuses_of_responses() {
    let rows = statuses().into_iter().map(|(status, said)| format!("| {status:04X} | {} |\n", said.join("; ")));
    let head = "| Status | Said for |\n|---|---|\n".to_owned();
    check_section(PAGE, "statuses", &rows.fold(head, |page, row| page + &row));
}
