//! A source file as flat Rust tokens with their lines; what is compiled for tests alone is marked.
use proc_macro2::{Delimiter, Spacing, TokenStream, TokenTree};

/// One token; brackets of any kind are tokens, `::` and `=>` are one each.
#[derive(Debug, Clone)]
pub(super) struct Token {
    pub(super) text: String,
    pub(super) line: usize,
    /// Inside an item under `#[cfg(test)]` or `#[test]`.
    pub(super) test: bool,
}

/// A file, by its path from the repository's root.
pub(super) struct Source {
    pub(super) path: String,
    pub(super) text: String,
    /// Empty for files that are not Rust.
    pub(super) tokens: Vec<Token>,
}

impl Source {
    pub(super) fn new(path: &str, text: String) -> Source {
        let mut tokens = Vec::new();
        if path.ends_with(".rs") {
            let stream: TokenStream = text.parse().unwrap_or_else(|error| panic!("{path} is not Rust: {error}"));
            flatten(stream, &mut tokens);
            mark_tests(&mut tokens);
            // `#[cfg(test)] mod tests;` puts the whole file under test.
            if path.ends_with("/tests.rs") || !path.starts_with("src/") {
                tokens.iter_mut().for_each(|token| token.test = true);
            }
        }
        Source { path: path.to_owned(), text, tokens }
    }

    /// What runs in the service: tokens outside tests.
    pub(super) fn code(&self) -> Vec<Token> {
        self.tokens.iter().filter(|token| !token.test).cloned().collect()
    }
}

fn flatten(stream: TokenStream, out: &mut Vec<Token>) {
    let mut joint = false;
    for tree in stream {
        let line = tree.span().start().line;
        let mut put = |text: String, line: usize| out.push(Token { text, line, test: false });
        let was_joint = std::mem::take(&mut joint);
        match tree {
            TokenTree::Group(group) => {
                let (open, close) = match group.delimiter() {
                    Delimiter::Parenthesis => ("(", ")"),
                    Delimiter::Brace => ("{", "}"),
                    Delimiter::Bracket => ("[", "]"),
                    Delimiter::None => ("", ""),
                };
                put(open.to_owned(), line);
                flatten(group.stream(), out);
                out.push(Token { text: close.to_owned(), line: group.span_close().start().line, test: false });
            }
            TokenTree::Punct(punct) => {
                joint = punct.spacing() == Spacing::Joint;
                let pair = out.last().filter(|_| was_joint).map(|last| format!("{}{}", last.text, punct.as_char()));
                match (pair.as_deref(), out.last_mut()) {
                    (Some("::" | "=>"), Some(last)) => last.text = pair.unwrap_or_default(),
                    _ => out.push(Token { text: punct.as_char().to_string(), line, test: false }),
                }
            }
            TokenTree::Ident(ident) => put(ident.to_string(), line),
            TokenTree::Literal(literal) => put(literal.to_string(), line),
        }
    }
}

/// Marks each item that an attribute `#[cfg(test)]` or `#[test]` stands before, to its `;` or closing brace.
fn mark_tests(tokens: &mut [Token]) {
    let mut at = 0;
    while at < tokens.len() {
        let is_test = starts(tokens, at, &["#", "[", "cfg", "(", "test", ")", "]"])
            || starts(tokens, at, &["#", "[", "test", "]"]);
        if !is_test {
            at += 1;
            continue;
        }
        let mut end = at;
        while end < tokens.len() && tokens[end].text != ";" && tokens[end].text != "{" {
            end = if tokens[end].text == "[" || tokens[end].text == "(" { close_of(tokens, end) + 1 } else { end + 1 };
        }
        if end < tokens.len() && tokens[end].text == "{" {
            end = close_of(tokens, end);
        }
        let last = end.min(tokens.len() - 1);
        tokens[at..=last].iter_mut().for_each(|token| token.test = true);
        at = last + 1;
    }
}

/// Whether the tokens from `at` on are these.
pub(super) fn starts(tokens: &[Token], at: usize, wanted: &[&str]) -> bool {
    tokens.len() >= at + wanted.len() && wanted.iter().zip(&tokens[at..]).all(|(text, token)| token.text == *text)
}

/// The index of the bracket that closes the one at `open`; the last token when there is none.
pub(super) fn close_of(tokens: &[Token], open: usize) -> usize {
    let mut depth = 0usize;
    for (index, token) in tokens.iter().enumerate().skip(open) {
        match token.text.as_str() {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return index;
        }
    }
    tokens.len() - 1
}
