//! Sections of published pages that tests write: what is committed must be what was found.
use std::path::Path;

/// Compares the section `name` of a page (between `<!-- name: begin -->` and `<!-- name: end -->`) with `body`.
///
/// With `OVERREAD_WRITE_DOCS` set the section is written instead: run the test so, look at the difference, commit it.
#[track_caller]
pub fn check_section(page: &str, name: &str, body: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(page);
    let text = std::fs::read_to_string(&path).unwrap();
    let (begin, end) = (format!("<!-- {name}: begin -->\n"), format!("<!-- {name}: end -->"));
    let (before, rest) = text.split_once(&begin).unwrap_or_else(|| panic!("{page} has no section {name}"));
    let (committed, after) = rest.split_once(&end).unwrap_or_else(|| panic!("section {name} of {page} has no end"));
    if std::env::var_os("OVERREAD_WRITE_DOCS").is_some() {
        return std::fs::write(&path, [before, &begin, body, &end, after].concat()).unwrap();
    }
    let hint = "run this test with OVERREAD_WRITE_DOCS=1 in the environment, then look at the difference and commit it";
    assert!(committed == body, "section {name} of {page} is not what was found; {hint}. Found:\n{body}");
}
