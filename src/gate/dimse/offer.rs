//! What is accepted of what a caller proposes: SOP Classes and transfer syntaxes, from the tables of the `dicom` room.
use crate::{
    dicom::{is_image_class, transfer_syntax},
    network::{Answer, Associate, IMPLICIT_LITTLE_ENDIAN, Proposed, VERIFICATION},
};

const EXPLICIT_LITTLE_ENDIAN: &str = "1.2.840.10008.1.2.1";
const EXPLICIT_BIG_ENDIAN: &str = "1.2.840.10008.1.2.2";

/// The answer to each proposed context.
pub(super) fn answers(request: &Associate) -> Vec<(u8, Answer)> {
    request.contexts.iter().map(|context| (context.id, answer(context))).collect()
}

fn answer(context: &Proposed) -> Answer {
    let class = context.abstract_syntax.as_str();
    let syntax = match class {
        VERIFICATION => uncompressed(&context.transfer_syntaxes),
        _ if is_image_class(class) => of_images(&context.transfer_syntaxes),
        _ => return Answer::AbstractSyntax,
    };
    syntax.map_or(Answer::TransferSyntaxes, |syntax| Answer::Accepted(syntax.to_owned()))
}

/// The first one proposed that is decoded here: senders put first what they hold, and taking it makes nobody compress or decompress.
/// Where that is an uncompressed one, the best of the uncompressed: which one makes no difference to pixels.
fn of_images(proposed: &[String]) -> Option<&str> {
    let first = proposed.iter().find(|uid| transfer_syntax(uid).is_some())?;
    match first.as_str() {
        IMPLICIT_LITTLE_ENDIAN | EXPLICIT_LITTLE_ENDIAN | EXPLICIT_BIG_ENDIAN => uncompressed(proposed),
        other => Some(other),
    }
}

/// Explicit VR keeps the VRs of private elements; big endian is retired.
fn uncompressed(proposed: &[String]) -> Option<&str> {
    [EXPLICIT_LITTLE_ENDIAN, IMPLICIT_LITTLE_ENDIAN, EXPLICIT_BIG_ENDIAN]
        .into_iter()
        .find(|wanted| proposed.iter().any(|uid| uid == wanted))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CT: &str = "1.2.840.10008.5.1.4.1.1.2";
    const JPEG_2000: &str = "1.2.840.10008.1.2.4.90";
    const MPEG_4: &str = "1.2.840.10008.1.2.4.102";

    #[track_caller]
    fn check(class: &str, syntaxes: &[&str], want: Answer) {
        let transfer_syntaxes = syntaxes.iter().map(|uid| (*uid).to_owned()).collect();
        assert_eq!(answer(&Proposed { id: 1, abstract_syntax: class.to_owned(), transfer_syntaxes }), want);
    }

    #[test]
    fn what_the_sender_holds_is_taken_as_it_is() {
        let accepted = |uid: &str| Answer::Accepted(uid.to_owned());
        check(CT, &[JPEG_2000, IMPLICIT_LITTLE_ENDIAN], accepted(JPEG_2000));
        check(CT, &[IMPLICIT_LITTLE_ENDIAN, JPEG_2000], accepted(IMPLICIT_LITTLE_ENDIAN));
        check(CT, &[IMPLICIT_LITTLE_ENDIAN, EXPLICIT_LITTLE_ENDIAN], accepted(EXPLICIT_LITTLE_ENDIAN));
        check(CT, &[EXPLICIT_BIG_ENDIAN], accepted(EXPLICIT_BIG_ENDIAN));
        check(CT, &[MPEG_4, JPEG_2000], accepted(JPEG_2000));
        check(CT, &[MPEG_4], Answer::TransferSyntaxes);
        check(CT, &[], Answer::TransferSyntaxes);
        check(VERIFICATION, &[JPEG_2000], Answer::TransferSyntaxes);
        check(VERIFICATION, &[IMPLICIT_LITTLE_ENDIAN], accepted(IMPLICIT_LITTLE_ENDIAN));
        check("1.2.840.10008.5.1.4.1.1.88.11", &[IMPLICIT_LITTLE_ENDIAN], Answer::AbstractSyntax);
        check("", &[IMPLICIT_LITTLE_ENDIAN], Answer::AbstractSyntax);
    }
}
