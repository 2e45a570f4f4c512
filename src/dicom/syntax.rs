//! The transfer syntaxes that are decoded, as one table: UID, name, which codec.
//!
//! Adding a codec is a row here and a file in `codec/`. Source: PS3.5 section 10 and annex A, PS3.6 annex A.

/// What decodes the pixels of a transfer syntax.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Coding {
    /// Uncompressed, in Pixel Data itself.
    Native,
    /// Uncompressed, one fragment a frame (PS3.5 A.4.11).
    EncapsulatedNative,
    /// Each frame deflated (PS3.5 A.4.13).
    DeflatedFrame,
    /// PS3.5 annex G.
    Rle,
    /// ISO/IEC 10918-1: DCT of 8 or 12 bits, or lossless.
    Jpeg,
    /// ISO/IEC 14495-1.
    JpegLs,
    /// ISO/IEC 15444-1.
    Jpeg2000,
    /// ISO/IEC 15444-15, JPEG 2000 of high throughput.
    #[cfg_attr(not(feature = "native-codecs"), expect(dead_code, reason = "no decoder of such a build reads it"))]
    Htj2k,
    /// ISO/IEC 18181.
    JpegXl,
}

/// Where a coding is decoded when there are workers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// In the serving process: ours, in safe Rust, bounded by the frame's size.
    Here,
    /// In a worker: C, C++, or a large library of others.
    Worker,
}

impl Coding {
    pub(super) fn place(self) -> Place {
        match self {
            Coding::Native | Coding::EncapsulatedNative | Coding::DeflatedFrame | Coding::Rle => Place::Here,
            Coding::Jpeg | Coding::JpegLs | Coding::Jpeg2000 | Coding::Htj2k | Coding::JpegXl => Place::Worker,
        }
    }
}

/// One row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TransferSyntax {
    /// Its UID.
    pub uid: &'static str,
    /// Its name in PS3.6, shortened.
    pub name: &'static str,
    pub(super) coding: Coding,
    /// Data set deflated as a whole (PS3.5 A.5).
    pub(super) deflated: bool,
}

const fn row(uid: &'static str, name: &'static str, coding: Coding) -> TransferSyntax {
    TransferSyntax { uid, name, coding, deflated: false }
}

/// All transfer syntaxes whose pixels are decoded.
pub const TRANSFER_SYNTAXES: &[TransferSyntax] = &[
    row("1.2.840.10008.1.2", "Implicit VR Little Endian", Coding::Native),
    row("1.2.840.10008.1.2.1", "Explicit VR Little Endian", Coding::Native),
    row("1.2.840.10008.1.2.2", "Explicit VR Big Endian", Coding::Native),
    TransferSyntax {
        uid: "1.2.840.10008.1.2.1.99",
        name: "Deflated Explicit VR Little Endian",
        coding: Coding::Native,
        deflated: true,
    },
    row("1.2.840.10008.1.2.1.98", "Encapsulated Uncompressed Explicit VR Little Endian", Coding::EncapsulatedNative),
    row("1.2.840.10008.1.2.8.1", "Deflated Image Frame Compression", Coding::DeflatedFrame),
    row("1.2.840.10008.1.2.5", "RLE Lossless", Coding::Rle),
    row("1.2.840.10008.1.2.4.50", "JPEG Baseline 8-bit", Coding::Jpeg),
    row("1.2.840.10008.1.2.4.51", "JPEG Extended 12-bit", Coding::Jpeg),
    row("1.2.840.10008.1.2.4.53", "JPEG Spectral Selection (retired)", Coding::Jpeg),
    row("1.2.840.10008.1.2.4.55", "JPEG Full Progression (retired)", Coding::Jpeg),
    row("1.2.840.10008.1.2.4.57", "JPEG Lossless", Coding::Jpeg),
    row("1.2.840.10008.1.2.4.70", "JPEG Lossless SV1", Coding::Jpeg),
    row("1.2.840.10008.1.2.4.80", "JPEG-LS Lossless", Coding::JpegLs),
    row("1.2.840.10008.1.2.4.81", "JPEG-LS Near-lossless", Coding::JpegLs),
    row("1.2.840.10008.1.2.4.90", "JPEG 2000 Lossless", Coding::Jpeg2000),
    row("1.2.840.10008.1.2.4.91", "JPEG 2000", Coding::Jpeg2000),
    row("1.2.840.10008.1.2.4.110", "JPEG XL Lossless", Coding::JpegXl),
    row("1.2.840.10008.1.2.4.111", "JPEG XL JPEG Recompression", Coding::JpegXl),
    row("1.2.840.10008.1.2.4.112", "JPEG XL", Coding::JpegXl),
    // No decoder written in Rust is ripe: docs/adr/0010-htj2k-by-openjpeg.md.
    #[cfg(feature = "native-codecs")]
    row("1.2.840.10008.1.2.4.201", "HTJ2K Lossless", Coding::Htj2k),
    #[cfg(feature = "native-codecs")]
    row("1.2.840.10008.1.2.4.202", "HTJ2K Lossless RPCL", Coding::Htj2k),
    #[cfg(feature = "native-codecs")]
    row("1.2.840.10008.1.2.4.203", "HTJ2K", Coding::Htj2k),
];

/// The row of a UID, if its pixels can be decoded here.
pub fn transfer_syntax(uid: &str) -> Option<&'static TransferSyntax> {
    TRANSFER_SYNTAXES.iter().find(|row| row.uid == uid)
}

/// SOP Classes that hold images of pixels to look at (PS3.4 B.5). Everything else is refused as `UnsupportedSopClass`:
/// segmentations, reports, plans, waveforms, documents, parametric maps, raw data, video.
pub const IMAGE_SOP_CLASSES: &[(&str, &str)] = &[
    ("1.2.840.10008.5.1.4.1.1.1", "Computed Radiography"),
    ("1.2.840.10008.5.1.4.1.1.1.1", "Digital X-Ray, for presentation"),
    ("1.2.840.10008.5.1.4.1.1.1.1.1", "Digital X-Ray, for processing"),
    ("1.2.840.10008.5.1.4.1.1.1.2", "Digital Mammography, for presentation"),
    ("1.2.840.10008.5.1.4.1.1.1.2.1", "Digital Mammography, for processing"),
    ("1.2.840.10008.5.1.4.1.1.1.3", "Digital Intra-Oral, for presentation"),
    ("1.2.840.10008.5.1.4.1.1.1.3.1", "Digital Intra-Oral, for processing"),
    ("1.2.840.10008.5.1.4.1.1.2", "CT"),
    ("1.2.840.10008.5.1.4.1.1.2.1", "Enhanced CT"),
    ("1.2.840.10008.5.1.4.1.1.2.2", "Legacy Converted Enhanced CT"),
    ("1.2.840.10008.5.1.4.1.1.3", "Ultrasound Multi-frame, retired"),
    ("1.2.840.10008.5.1.4.1.1.3.1", "Ultrasound Multi-frame"),
    ("1.2.840.10008.5.1.4.1.1.4", "MR"),
    ("1.2.840.10008.5.1.4.1.1.4.1", "Enhanced MR"),
    ("1.2.840.10008.5.1.4.1.1.4.3", "Enhanced MR Color"),
    ("1.2.840.10008.5.1.4.1.1.4.4", "Legacy Converted Enhanced MR"),
    ("1.2.840.10008.5.1.4.1.1.5", "Nuclear Medicine, retired"),
    ("1.2.840.10008.5.1.4.1.1.6", "Ultrasound, retired"),
    ("1.2.840.10008.5.1.4.1.1.6.1", "Ultrasound"),
    ("1.2.840.10008.5.1.4.1.1.6.2", "Enhanced US Volume"),
    ("1.2.840.10008.5.1.4.1.1.7", "Secondary Capture"),
    ("1.2.840.10008.5.1.4.1.1.7.1", "Multi-frame Single Bit Secondary Capture"),
    ("1.2.840.10008.5.1.4.1.1.7.2", "Multi-frame Grayscale Byte Secondary Capture"),
    ("1.2.840.10008.5.1.4.1.1.7.3", "Multi-frame Grayscale Word Secondary Capture"),
    ("1.2.840.10008.5.1.4.1.1.7.4", "Multi-frame True Color Secondary Capture"),
    ("1.2.840.10008.5.1.4.1.1.12.1", "X-Ray Angiographic"),
    ("1.2.840.10008.5.1.4.1.1.12.1.1", "Enhanced XA"),
    ("1.2.840.10008.5.1.4.1.1.12.2", "X-Ray Radiofluoroscopic"),
    ("1.2.840.10008.5.1.4.1.1.12.2.1", "Enhanced XRF"),
    ("1.2.840.10008.5.1.4.1.1.12.3", "X-Ray Angiographic Bi-plane, retired"),
    ("1.2.840.10008.5.1.4.1.1.13.1.1", "X-Ray 3D Angiographic"),
    ("1.2.840.10008.5.1.4.1.1.13.1.2", "X-Ray 3D Craniofacial"),
    ("1.2.840.10008.5.1.4.1.1.13.1.3", "Breast Tomosynthesis"),
    ("1.2.840.10008.5.1.4.1.1.13.1.4", "Breast Projection, for presentation"),
    ("1.2.840.10008.5.1.4.1.1.13.1.5", "Breast Projection, for processing"),
    ("1.2.840.10008.5.1.4.1.1.14.1", "Intravascular OCT, for presentation"),
    ("1.2.840.10008.5.1.4.1.1.14.2", "Intravascular OCT, for processing"),
    ("1.2.840.10008.5.1.4.1.1.20", "Nuclear Medicine"),
    ("1.2.840.10008.5.1.4.1.1.77.1.1", "VL Endoscopic"),
    ("1.2.840.10008.5.1.4.1.1.77.1.2", "VL Microscopic"),
    ("1.2.840.10008.5.1.4.1.1.77.1.3", "VL Slide-Coordinates Microscopic"),
    ("1.2.840.10008.5.1.4.1.1.77.1.4", "VL Photographic"),
    ("1.2.840.10008.5.1.4.1.1.77.1.5.1", "Ophthalmic Photography 8 bit"),
    ("1.2.840.10008.5.1.4.1.1.77.1.5.2", "Ophthalmic Photography 16 bit"),
    ("1.2.840.10008.5.1.4.1.1.77.1.5.4", "Ophthalmic Tomography"),
    ("1.2.840.10008.5.1.4.1.1.77.1.6", "VL Whole Slide Microscopy"),
    ("1.2.840.10008.5.1.4.1.1.77.1.7", "Dermoscopic Photography"),
    ("1.2.840.10008.5.1.4.1.1.128", "Positron Emission Tomography"),
    ("1.2.840.10008.5.1.4.1.1.128.1", "Legacy Converted Enhanced PET"),
    ("1.2.840.10008.5.1.4.1.1.130", "Enhanced PET"),
    ("1.2.840.10008.5.1.4.1.1.481.1", "RT Image"),
    ("1.2.840.10008.5.1.4.1.1.481.2", "RT Dose"),
];

/// Whether a UID is one of [`IMAGE_SOP_CLASSES`].
pub fn is_image_class(uid: &str) -> bool {
    IMAGE_SOP_CLASSES.iter().any(|(known, _)| *known == uid)
}

/// SOP Classes whose pixels can be looked at, and are not analysed: their values are no brightness.
pub(super) const VIEWED_SOP_CLASSES: &[&str] = &[
    "1.2.840.10008.5.1.4.1.1.30",   // Parametric Map
    "1.2.840.10008.5.1.4.1.1.66.4", // Segmentation
    "1.2.840.10008.5.1.4.1.1.66.7", // Label Map Segmentation
];
