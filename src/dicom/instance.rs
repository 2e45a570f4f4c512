//! One SOP Instance that passed the gate: its header, its attributes, and its pixel bytes as they came.
use std::ops::Range;

use bytes::Bytes;

use crate::error::{Code, Error, Result, Subject};
use crate::uid::Uid;

use super::attributes::{self, Attributes, View};
use super::header::Header;
use super::part10::{self, Part10};
use super::prescan::{self, Content, Element, Encoding, PixelElement};
use super::syntax::{Coding, TransferSyntax};
use super::{Limits, layout};

/// A vetted image object. Cheap to hold: pixel bytes are slices of what was read, unless the data set was deflated.
pub struct Instance {
    header: Header,
    attributes: Attributes,
    dataset: Bytes,
    pixels: PixelElement,
    syntax: &'static TransferSyntax,
    encoding: Encoding,
    inflate_bytes_max: u64,
}

/// The UIDs of an object that may not be readable otherwise.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Identity {
    /// Study Instance UID.
    pub study: Option<Uid>,
    /// SOP Instance UID.
    pub sop_instance: Option<Uid>,
}

impl Instance {
    /// Reads and vets a Part 10 file, or a bare data set: lengths, nesting, UIDs, SOP Class, transfer syntax, sizes, layout.
    ///
    /// Cost: the header; pixel bytes are not touched. Errors: any code of the refused family, about the instance whenever its UID
    /// could be read.
    pub fn read(bytes: &Bytes, limits: &Limits) -> Result<Instance> {
        let part10 = part10::open(bytes, limits)?;
        let mut identity = Identity::default();
        read_dataset(part10, limits, &mut identity).map_err(|error| match identity.sop_instance {
            Some(uid) => error.about_instance(uid.as_str()),
            None => error,
        })
    }

    /// What the header says.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The transfer syntax, from the table.
    pub fn transfer_syntax(&self) -> &'static TransferSyntax {
        self.syntax
    }

    pub(super) fn root(&self) -> View<'_> {
        self.attributes.root()
    }

    pub(super) fn pixels(&self) -> &PixelElement {
        &self.pixels
    }

    pub(super) fn slice(&self, range: &Range<usize>) -> &[u8] {
        &self.dataset[range.clone()]
    }

    pub(super) fn encoding(&self) -> Encoding {
        self.encoding
    }

    pub(super) fn inflate_bytes_max(&self) -> u64 {
        self.inflate_bytes_max
    }

    /// The same error, about this instance.
    pub(super) fn blame(&self, error: Error) -> Error {
        error.about_instance(self.header.sop_instance.as_str())
    }
}

/// The UIDs as far as they can be read; never fails. For objects that `Instance::read` refuses.
pub fn identify(bytes: &Bytes, limits: &Limits) -> Identity {
    let mut identity = Identity::default();
    if let Ok(part10) = part10::open(bytes, limits) {
        let _scan_as_far_as_it_goes = scan(&part10, limits, &mut identity);
    }
    identity
}

/// The elements that are read, and the pixel element. `identity` is filled as the walk goes: it stands even if the walk fails.
fn scan(part10: &Part10, limits: &Limits, identity: &mut Identity) -> Result<(Vec<Element>, Option<PixelElement>)> {
    let dataset = &part10.dataset;
    let mut elements = Vec::new();
    let pixels = prescan::walk(dataset, part10.encoding, limits, &mut |element: Element| {
        let uid = || Uid::parse(std::str::from_utf8(&dataset[element.value.clone()]).ok()?).ok();
        match element.tag {
            (0x0008, 0x0018) => identity.sop_instance = uid(),
            (0x0020, 0x000D) => identity.study = uid(),
            _ => {}
        }
        if attributes::is_read(element.tag) {
            elements.push(element);
        }
    })?;
    Ok((elements, pixels))
}

fn read_dataset(part10: Part10, limits: &Limits, identity: &mut Identity) -> Result<Instance> {
    let (elements, pixels) = scan(&part10, limits, identity)?;
    let attributes = Attributes::parse(&part10.dataset, &elements, part10.encoding, limits)?;
    let header = Header::read(attributes.root(), &part10.syntax_uid, pixels.as_ref(), limits)?;
    let Some(syntax) = part10.syntax else {
        let detail = format!("transfer syntax {} is not decoded here", header.transfer_syntax);
        return Err(Error::new(Code::UnsupportedTransferSyntax, detail).about(Subject::Tag(0x0002, 0x0010)));
    };
    let Some(pixels) = pixels else {
        return Err(Error::new(Code::NoPixelData, "the object ends without pixel data"));
    };
    check_content(&header, syntax, &pixels)?;
    Ok(Instance {
        header,
        attributes,
        dataset: part10.dataset,
        pixels,
        syntax,
        encoding: part10.encoding,
        inflate_bytes_max: limits.inflate_bytes_max,
    })
}

/// The pixel element must be of the kind that the transfer syntax says, and long enough for all frames if it is native.
fn check_content(header: &Header, syntax: &TransferSyntax, pixels: &PixelElement) -> Result<()> {
    match (&pixels.content, syntax.coding == Coding::Native) {
        (Content::Native(range), _) if range.is_empty() => {
            Err(Error::new(Code::NoPixelData, "the pixel data is empty"))
        }
        (Content::Native(range), true) => {
            let needed = layout::native_bytes(header);
            if (range.len() as u64) < needed {
                let detail = format!("holds {} bytes of pixels; its size asks for {needed}", range.len());
                return Err(Error::new(Code::Truncated, detail));
            }
            Ok(())
        }
        (Content::Fragments(items), false) if items.len() > 1 => Ok(()),
        (Content::Fragments(_), false) => {
            Err(Error::new(Code::PixelLayoutInvalid, "the encapsulated pixel data holds no fragment"))
        }
        (Content::Native(_), false) => {
            Err(Error::new(Code::PixelLayoutInvalid, "the transfer syntax is encapsulated, the pixel data is not"))
        }
        (Content::Fragments(_), true) => {
            Err(Error::new(Code::PixelLayoutInvalid, "the pixel data is encapsulated, the transfer syntax is not"))
        }
    }
}
