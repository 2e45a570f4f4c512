//! Page sizes and page tokens. A token is opaque to clients: the key of the last item given, bound to the call's filter.
use sha2::{Digest, Sha256};

use super::name::bad;
use crate::error::Result;

const PAGE_SIZE_DEFAULT: u32 = 100;
const PAGE_SIZE_MAX: u32 = 1000;
/// Hexadecimal digits of the filter's digest in a token.
const CHECK_DIGITS: usize = 16;

/// Where a page begins and how much it holds.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Page {
    /// Key of the last item of the page before; `None` for the first page.
    pub(super) after: Option<String>,
    /// Items at most.
    size: u32,
    /// Digest of what the caller asked for: a token of another filter is refused.
    check: String,
}

impl Page {
    /// Reads the page fields of a request. `filter`: an encoding of all else that selects the items.
    pub(super) fn of(page_size: u32, page_token: &str, filter: &[u8]) -> Result<Page> {
        let size = match page_size {
            0 => PAGE_SIZE_DEFAULT,
            1..=PAGE_SIZE_MAX => page_size,
            _ => return Err(bad("page_size", format!("must be 0 to {PAGE_SIZE_MAX}"))),
        };
        let check: String = hex(&Sha256::digest(filter)[..CHECK_DIGITS / 2]);
        let after = match page_token {
            "" => None,
            token => {
                let text = unhex(token).ok_or_else(|| bad("page_token", "is not a token that this server gave"))?;
                let key = text.strip_prefix(check.as_str());
                let other =
                    || bad("page_token", "belongs to a call with another filter, or is not a token of this server");
                Some(key.ok_or_else(other)?.to_owned())
            }
        };
        Ok(Page { after, size, check })
    }

    /// How many items to ask for: one more than the page holds shows whether there is a next one.
    pub(super) fn asked(&self) -> u32 {
        self.size + 1
    }

    /// The token that goes on after the item of `key`.
    fn token_after(&self, key: &str) -> String {
        hex(format!("{}{key}", self.check).as_bytes())
    }

    /// Cuts `items` (as many as were asked for) to the page; the token is empty on the last page.
    pub(super) fn cut<T>(&self, items: &mut Vec<T>, key: impl Fn(&T) -> String) -> String {
        let size = self.size as usize;
        if items.len() <= size {
            return String::new();
        }
        items.truncate(size);
        items.last().map(|last| self.token_after(&key(last))).unwrap_or_default()
    }
}

/// Lower-case hexadecimal.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<String> {
    if !text.is_ascii() || !text.len().is_multiple_of(2) {
        return None;
    }
    let byte = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).ok();
    let bytes: Option<Vec<u8>> = (0..text.len()).step_by(2).map(byte).collect();
    String::from_utf8(bytes?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_goes_on_after_its_key_and_only_with_its_filter() {
        let first = Page::of(2, "", b"state=1").expect("a first page");
        let mut items = vec!["a", "b", "c"];
        let token = first.cut(&mut items, |item| (*item).to_owned());
        assert_eq!(items, ["a", "b"]);
        let second = Page::of(2, &token, b"state=1").expect("a second page");
        assert_eq!(second.after.as_deref(), Some("b"));
        assert_eq!(second.cut(&mut vec!["c"], |item| (*item).to_owned()), "");
        assert!(Page::of(2, &token, b"state=2").is_err());
    }

    #[test]
    fn a_made_up_token_or_size_is_refused() {
        for token in ["x", "zz", "00", "ü1", "6162"] {
            assert!(Page::of(0, token, b"").is_err(), "{token}");
        }
        assert!(Page::of(1001, "", b"").is_err());
        assert_eq!(Page::of(0, "", b"").map(|page| page.size), Ok(100));
    }
}
