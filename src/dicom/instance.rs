//! One SOP Instance that passed the gate: its header, its attributes, and its pixel bytes as they came.
use std::ops::Range;

use bytes::Bytes;

use crate::error::{Code, Error, Result, Subject};
use crate::uid::Uid;

use super::attributes::{Attributes, View};
use super::header::{Header, Names};
use super::part10::{self, Part10};
use super::prescan::{self, Content, Element, Encoding, PixelElement};
use super::syntax::{Coding, TransferSyntax};
use super::{Limits, Photometric, layout};

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

/// Pixels to look at.
pub struct Viewed {
    /// The object; where `refusal` is about a name, it has a stand-in for it.
    pub instance: Instance,
    /// The names that it really has.
    pub identity: Identity,
    /// Why `Instance::read` refuses it, if it does: it is neither stored nor analysed.
    pub refusal: Option<Error>,
}

impl Instance {
    /// Reads and vets a Part 10 file, or a bare data set: lengths, nesting, UIDs, SOP Class, transfer syntax, sizes, layout.
    ///
    /// Cost: the header; pixel bytes are not touched. Errors: any code of the refused family, about the instance whenever its UID
    /// could be read.
    pub fn read(bytes: &Bytes, limits: &Limits) -> Result<Instance> {
        let mut identity = Identity::default();
        let instance = Scanned::of(bytes, limits, &mut identity).and_then(|scanned| {
            let names = Names::read(scanned.attributes.root(), scanned.part10.media_class.as_deref())?;
            scanned.vet(names, limits)
        });
        instance.map_err(|error| identity.blame(error))
    }

    /// As `read`, but for looking only: pixels of objects that cannot be stored or analysed are shown, too, if nothing is wrong
    /// with the pixels themselves. These are images that lack UIDs because they belong to no study, segmentations, and
    /// parametric maps. Errors: as of `read`.
    pub fn view(bytes: &Bytes, limits: &Limits) -> Result<Viewed> {
        let mut identity = Identity::default();
        let viewed = Scanned::of(bytes, limits, &mut identity).and_then(|scanned| {
            let (root, media_class) = (scanned.attributes.root(), scanned.part10.media_class.as_deref());
            let (names, refusal) = match Names::read(root, media_class) {
                Ok(names) => (names, None),
                Err(refusal) => match Names::stand_in(root, media_class) {
                    Some(names) => (names, Some(refusal)),
                    None => return Err(refusal),
                },
            };
            Ok((scanned.vet(names, limits)?, refusal))
        });
        match viewed {
            Ok((instance, refusal)) => Ok(Viewed { instance, identity, refusal }),
            Err(error) => Err(identity.blame(error)),
        }
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

    /// A part of the data set that keeps the whole in memory.
    pub(super) fn shared(&self, part: &[u8]) -> Bytes {
        self.dataset.slice_ref(part)
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
    let _scanned_as_far_as_it_goes = Scanned::of(bytes, limits, &mut identity);
    identity
}

impl Identity {
    fn of(root: View<'_>) -> Identity {
        let uid = |key| Uid::parse(&root.text(key)?).ok();
        Identity { study: uid((0x0020, 0x000D)), sop_instance: uid((0x0008, 0x0018)) }
    }

    fn blame(&self, error: Error) -> Error {
        match &self.sop_instance {
            Some(uid) => error.about_instance(uid.as_str()),
            None => error,
        }
    }
}

/// A data set whose lengths hold, and whose attributes are not yet vetted.
struct Scanned {
    part10: Part10,
    attributes: Attributes,
    pixels: Option<PixelElement>,
}

impl Scanned {
    /// `identity` stands even if the walk ends in an error.
    fn of(bytes: &Bytes, limits: &Limits, identity: &mut Identity) -> Result<Scanned> {
        let part10 = part10::open(bytes, limits)?;
        let mut elements: Vec<Element> = Vec::new();
        let pixels = prescan::walk(&part10.dataset, part10.encoding, limits, &mut elements);
        let attributes = Attributes::new(part10.dataset.clone(), elements);
        *identity = Identity::of(attributes.root());
        Ok(Scanned { part10, attributes, pixels: pixels? })
    }

    fn vet(self, names: Names, limits: &Limits) -> Result<Instance> {
        let Scanned { part10, attributes, pixels } = self;
        let Some(pixels) = pixels else {
            return Err(Error::new(Code::NoPixelData, "the object ends without pixel data"));
        };
        let header = Header::read(attributes.root(), names, &part10.syntax_uid, pixels.element, limits)?;
        let Some(syntax) = part10.syntax else {
            let detail = format!("transfer syntax {} is not decoded here", header.transfer_syntax);
            return Err(Error::new(Code::UnsupportedTransferSyntax, detail).about(Subject::Tag(0x0002, 0x0010)));
        };
        check_content(&header, syntax, &pixels, part10.encoding)?;
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
}

/// The pixel element must be of the kind that the transfer syntax says, and long enough for all frames if it is native.
fn check_content(header: &Header, syntax: &TransferSyntax, pixels: &PixelElement, encoding: Encoding) -> Result<()> {
    let layout = |what: &str| Err(Error::new(Code::PixelLayoutInvalid, what.to_owned()));
    if pixels.element != 0x0010 && syntax.coding != Coding::Native {
        return layout("floating-point pixels are encapsulated");
    }
    if encoding.big_endian && header.bits_allocated == 1 && &pixels.vr == b"OW" {
        return layout("single bits stand in big-endian words, whose order readers do not agree on");
    }
    let transforms = matches!(syntax.coding, Coding::Jpeg2000 | Coding::Htj2k);
    if matches!(header.photometric, Photometric::YbrIct | Photometric::YbrRct) && !transforms {
        return layout("the colour transform of JPEG 2000 is stated for another transfer syntax");
    }
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
        (Content::Fragments(_), false) => layout("the encapsulated pixel data holds no fragment"),
        (Content::Native(_), false) => layout("the transfer syntax is encapsulated, the pixel data is not"),
        (Content::Fragments(_), true) => layout("the pixel data is encapsulated, the transfer syntax is not"),
    }
}
