//! Links inside the repository's documents lead somewhere.
use std::path::Path;

use crate::source::Source;

#[test]
fn relative_links_lead_somewhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let documents: Vec<Source> = crate::all_files(root).into_iter().filter(|file| file.path.ends_with(".md")).collect();
    assert!(documents.len() > 3, "only {} documents were found", documents.len());
    let mut broken = Vec::new();
    for document in &documents {
        let folder = root.join(&document.path).parent().map(Path::to_owned).unwrap_or_default();
        for link in links(&document.text) {
            let file = link.split('#').next().unwrap_or_default();
            let elsewhere = link.contains("://") || link.starts_with("mailto:") || file.is_empty();
            if !elsewhere && !folder.join(file).exists() {
                broken.push(format!("{}: {link}", document.path));
            }
        }
    }
    assert!(broken.is_empty(), "links that lead nowhere:\n{}", broken.join("\n"));
}

/// The targets of `[text](target)` and `![text](target)`, outside code blocks.
fn links(text: &str) -> Vec<String> {
    let prose: Vec<&str> = text.split("```").step_by(2).collect();
    let targets = prose.iter().flat_map(|part| part.split("](").skip(1));
    targets.filter_map(|rest| rest.split_once(')').map(|(target, _)| target.to_owned())).collect()
}

#[test]
fn links_are_read_from_prose_alone() {
    let text = "see [a](b.md#c) and ![d](e/f.png)\n```\n[not](this.md)\n```\n[g](h)";
    assert_eq!(links(text), ["b.md#c", "e/f.png", "h"]);
}
