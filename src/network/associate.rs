//! Requests for associations and their acceptance, as values and as PDUs (PS3.8 9.3.2, 9.3.3, annex D; PS3.7 annex D.3).
use super::{
    Fault, Reject,
    item::{Items, padded, put, title, uid},
    pdu::{ASSOCIATE_AC, ASSOCIATE_RQ},
};

const APPLICATION_CONTEXT: &str = "1.2.840.10008.3.1.1.1";
/// Implementation Class UID: the same in every version, so that files made of what came are the same bytes, too (PS3.5 B.2).
pub const IMPLEMENTATION: &str = "2.25.229335445412992470586359418137875697380";
const VERSION_NAME: &[u8] = concat!("OVERREAD_", env!("CARGO_PKG_VERSION")).as_bytes();

/// Titles and protocol version come before the items.
const FIXED_BYTES: usize = 68;
/// A peer that takes less at once than this is refused: every fragment has six bytes of its own.
const PDU_BYTES_MIN: u32 = 32;

const ITEM_APPLICATION: u8 = 0x10;
const ITEM_CONTEXT: u8 = 0x20;
const ITEM_CONTEXT_ANSWER: u8 = 0x21;
const ITEM_ABSTRACT: u8 = 0x30;
const ITEM_TRANSFER: u8 = 0x40;
const ITEM_USER: u8 = 0x50;
const ITEM_MAX_LENGTH: u8 = 0x51;
const ITEM_IMPLEMENTATION: u8 = 0x52;
const ITEM_ROLE: u8 = 0x54;
const ITEM_VERSION_NAME: u8 = 0x55;

/// A presentation context as it is proposed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proposed {
    /// Odd, 1 to 255.
    pub id: u8,
    /// SOP Class UID.
    pub abstract_syntax: String,
    /// UIDs in the requestor's order.
    pub transfer_syntaxes: Vec<String>,
}

/// Which roles the requestor proposes to take for a SOP Class (PS3.7 D.3.3.4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Role {
    /// SOP Class UID.
    pub sop_class: String,
    /// Whether it may be the user.
    pub user: bool,
    /// Whether it may be the provider.
    pub provider: bool,
}

/// A request for an association.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Associate {
    /// Called AE title.
    pub called: String,
    /// Calling AE title.
    pub calling: String,
    /// In the requestor's order.
    pub contexts: Vec<Proposed>,
    /// The largest P-DATA body that the requestor takes, bytes; 0: any.
    pub pdu_bytes_max: u32,
    /// Proposed roles.
    pub roles: Vec<Role>,
}

/// The result of one presentation context (PS3.8 table 9-18).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// With this transfer syntax.
    Accepted(String),
    /// 2: no reason.
    NoReason,
    /// 3: the SOP Class is not supported.
    AbstractSyntax,
    /// 4: none of the transfer syntaxes is supported.
    TransferSyntaxes,
}

/// A presentation context that both sides agreed on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Context {
    /// Its number.
    pub id: u8,
    /// SOP Class UID.
    pub abstract_syntax: String,
    /// Transfer syntax UID.
    pub transfer_syntax: String,
}

/// An acceptance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// Result of each proposed context, by its number.
    pub answers: Vec<(u8, Answer)>,
    /// The largest P-DATA body that the acceptor takes, bytes; 0: any.
    pub pdu_bytes_max: u32,
    /// Confirmed roles.
    pub roles: Vec<Role>,
}

impl Associate {
    /// Reads the body of an A-ASSOCIATE-RQ.
    ///
    /// Outer errors: not one, so that it is aborted. Inner: one that is rejected whoever asks.
    pub(super) fn decode(body: &[u8]) -> Result<Result<Associate, Reject>, Fault> {
        let (fixed, items) = body.split_at_checked(FIXED_BYTES).ok_or(Fault::Invalid)?;
        let mut application = String::new();
        let (mut contexts, mut user) = (Vec::new(), User::default());
        for item in Items(items) {
            match item? {
                (ITEM_APPLICATION, value) => application = uid(value),
                (ITEM_CONTEXT, value) => contexts.push(proposed(value)?),
                (ITEM_USER, value) => user = User::decode(value)?,
                // Items that an acceptor does not know are ignored (PS3.8 9.3.1).
                _ => {}
            }
        }
        if fixed[1] & 1 == 0 {
            return Ok(Err(Reject::ProtocolVersion));
        }
        if application != APPLICATION_CONTEXT {
            return Ok(Err(Reject::ApplicationContext));
        }
        let Some(called) = title(&fixed[4..20]) else { return Ok(Err(Reject::CalledTitle)) };
        let Some(calling) = title(&fixed[20..36]) else { return Ok(Err(Reject::CallingTitle)) };
        if user.pdu_bytes_max != 0 && user.pdu_bytes_max < PDU_BYTES_MIN {
            return Ok(Err(Reject::NoReason));
        }
        Ok(Ok(Associate { called, calling, contexts, pdu_bytes_max: user.pdu_bytes_max, roles: user.roles }))
    }

    /// The PDU.
    pub fn encode(&self) -> Vec<u8> {
        let mut body = fixed(&self.called, &self.calling);
        for context in &self.contexts {
            let mut value = vec![context.id, 0, 0, 0];
            put(&mut value, ITEM_ABSTRACT, context.abstract_syntax.as_bytes());
            for syntax in &context.transfer_syntaxes {
                put(&mut value, ITEM_TRANSFER, syntax.as_bytes());
            }
            put(&mut body, ITEM_CONTEXT, &value);
        }
        put(&mut body, ITEM_USER, &User { pdu_bytes_max: self.pdu_bytes_max, roles: self.roles.clone() }.encode());
        pdu(ASSOCIATE_RQ, &body)
    }
}

impl Accepted {
    /// The PDU that answers `request`.
    pub fn encode(&self, request: &Associate) -> Vec<u8> {
        let mut body = fixed(&request.called, &request.calling);
        for (id, answer) in &self.answers {
            let (result, syntax) = match answer {
                Answer::Accepted(syntax) => (0, syntax.as_str()),
                Answer::NoReason => (2, super::IMPLICIT_LITTLE_ENDIAN),
                Answer::AbstractSyntax => (3, super::IMPLICIT_LITTLE_ENDIAN),
                Answer::TransferSyntaxes => (4, super::IMPLICIT_LITTLE_ENDIAN),
            };
            let mut value = vec![*id, 0, result, 0];
            // Not significant unless accepted, but always there (PS3.8 9.3.3.2).
            put(&mut value, ITEM_TRANSFER, syntax.as_bytes());
            put(&mut body, ITEM_CONTEXT_ANSWER, &value);
        }
        put(&mut body, ITEM_USER, &User { pdu_bytes_max: self.pdu_bytes_max, roles: self.roles.clone() }.encode());
        pdu(ASSOCIATE_AC, &body)
    }

    /// Reads the body of an A-ASSOCIATE-AC.
    pub(super) fn decode(body: &[u8]) -> Result<Accepted, Fault> {
        let (_, items) = body.split_at_checked(FIXED_BYTES).ok_or(Fault::Invalid)?;
        let (mut answers, mut user) = (Vec::new(), User::default());
        for item in Items(items) {
            match item? {
                (ITEM_CONTEXT_ANSWER, value) => answers.push(answered(value)?),
                (ITEM_USER, value) => user = User::decode(value)?,
                _ => {}
            }
        }
        let usable = user.pdu_bytes_max == 0 || user.pdu_bytes_max >= PDU_BYTES_MIN;
        let accepted = Accepted { answers, pdu_bytes_max: user.pdu_bytes_max, roles: user.roles };
        usable.then_some(accepted).ok_or(Fault::Invalid)
    }

    /// The contexts of `request` that were accepted.
    pub fn contexts(&self, request: &Associate) -> Vec<Context> {
        let of = |(id, answer): &(u8, Answer)| {
            let proposed = request.contexts.iter().find(|context| context.id == *id)?;
            let Answer::Accepted(syntax) = answer else { return None };
            let (abstract_syntax, transfer_syntax) = (proposed.abstract_syntax.clone(), syntax.clone());
            Some(Context { id: *id, abstract_syntax, transfer_syntax })
        };
        self.answers.iter().filter_map(of).collect()
    }
}

/// What is read of the user information item.
#[derive(Default)]
struct User {
    pdu_bytes_max: u32,
    roles: Vec<Role>,
}

impl User {
    fn decode(bytes: &[u8]) -> Result<User, Fault> {
        let mut user = User::default();
        for item in Items(bytes) {
            match item? {
                (ITEM_MAX_LENGTH, value) => {
                    user.pdu_bytes_max = u32::from_be_bytes(value.try_into().map_err(|_| Fault::Invalid)?);
                }
                (ITEM_ROLE, value) => user.roles.push(role(value).ok_or(Fault::Invalid)?),
                // Asynchronous operations, extended negotiation, identity: not taken up, hence not answered (PS3.7 D.3.3).
                _ => {}
            }
        }
        Ok(user)
    }

    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put(&mut out, ITEM_MAX_LENGTH, &self.pdu_bytes_max.to_be_bytes());
        put(&mut out, ITEM_IMPLEMENTATION, IMPLEMENTATION.as_bytes());
        for role in &self.roles {
            let mut value = Vec::new();
            value.extend(u16::try_from(role.sop_class.len()).unwrap_or(0).to_be_bytes());
            value.extend(role.sop_class.as_bytes());
            value.extend([u8::from(role.user), u8::from(role.provider)]);
            put(&mut out, ITEM_ROLE, &value);
        }
        put(&mut out, ITEM_VERSION_NAME, VERSION_NAME);
        out
    }
}

fn role(value: &[u8]) -> Option<Role> {
    let (length, rest) = value.split_at_checked(2)?;
    let (name, roles) = rest.split_at_checked(usize::from(u16::from_be_bytes([length[0], length[1]])))?;
    let [user, provider] = roles else { return None };
    Some(Role { sop_class: uid(name), user: *user == 1, provider: *provider == 1 })
}

fn proposed(value: &[u8]) -> Result<Proposed, Fault> {
    let (head, items) = value.split_at_checked(4).ok_or(Fault::Invalid)?;
    let mut context = Proposed { id: head[0], abstract_syntax: String::new(), transfer_syntaxes: Vec::new() };
    if context.id.is_multiple_of(2) {
        return Err(Fault::Invalid);
    }
    for item in Items(items) {
        match item? {
            (ITEM_ABSTRACT, value) => context.abstract_syntax = uid(value),
            (ITEM_TRANSFER, value) => context.transfer_syntaxes.push(uid(value)),
            _ => {}
        }
    }
    Ok(context)
}

fn answered(value: &[u8]) -> Result<(u8, Answer), Fault> {
    let (head, items) = value.split_at_checked(4).ok_or(Fault::Invalid)?;
    let syntax = Items(items).find_map(|item| item.ok().filter(|(kind, _)| *kind == ITEM_TRANSFER));
    let answer = match (head[2], syntax) {
        (0, Some((_, value))) => Answer::Accepted(uid(value)),
        (0, None) => return Err(Fault::Invalid),
        (3, _) => Answer::AbstractSyntax,
        (4, _) => Answer::TransferSyntaxes,
        (_, _) => Answer::NoReason,
    };
    Ok((head[0], answer))
}

/// Protocol version 1, titles, reserved bytes, application context.
fn fixed(called: &str, calling: &str) -> Vec<u8> {
    let mut body = vec![0, 1, 0, 0];
    body.extend(padded(called));
    body.extend(padded(calling));
    body.extend([0; 32]);
    put(&mut body, ITEM_APPLICATION, APPLICATION_CONTEXT.as_bytes());
    body
}

fn pdu(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut out = vec![kind, 0];
    out.extend(u32::try_from(body.len()).unwrap_or(u32::MAX).to_be_bytes());
    out.extend(body);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::pdu::HEAD_BYTES;

    fn request() -> Associate {
        let syntaxes = vec!["1.2.840.10008.1.2.1".to_owned(), "1.2.840.10008.1.2".to_owned()];
        let context =
            |id, class: &str| Proposed { id, abstract_syntax: class.to_owned(), transfer_syntaxes: syntaxes.clone() };
        Associate {
            called: "OVERREAD".to_owned(),
            calling: "CT 1".to_owned(),
            contexts: vec![context(1, "1.2.840.10008.1.1"), context(3, "1.2.840.10008.5.1.4.1.1.2")],
            pdu_bytes_max: 16384,
            roles: vec![Role { sop_class: "1.2.840.10008.1.20.1".to_owned(), user: false, provider: true }],
        }
    }

    #[test]
    fn the_implementation_uid_is_derived_from_words() {
        assert_eq!(crate::uid::Uid::derive(&[b"overread implementation class"]).as_str(), IMPLEMENTATION);
    }

    #[test]
    fn a_request_reads_as_what_was_written() {
        let pdu = request().encode();
        assert_eq!(Associate::decode(&pdu[HEAD_BYTES..]), Ok(Ok(request())));
    }

    #[test]
    fn an_answer_reads_as_what_was_written_and_names_the_contexts() {
        let syntax = "1.2.840.10008.1.2.1".to_owned();
        let answers = vec![(1, Answer::Accepted(syntax.clone())), (3, Answer::TransferSyntaxes)];
        let accepted = Accepted { answers, pdu_bytes_max: 0, roles: Vec::new() };
        let read = Accepted::decode(&accepted.encode(&request())[HEAD_BYTES..]).expect("an answer");
        assert_eq!(read, accepted);
        let verification = "1.2.840.10008.1.1".to_owned();
        let context = Context { id: 1, abstract_syntax: verification, transfer_syntax: syntax };
        assert_eq!(read.contexts(&request()), [context]);
    }

    #[test]
    fn a_request_cut_anywhere_is_refused_or_read_and_never_more() {
        let pdu = request().encode();
        for end in HEAD_BYTES..pdu.len() {
            if let Ok(Ok(read)) = Associate::decode(&pdu[HEAD_BYTES..end]) {
                assert!(read.contexts.len() <= 2, "cut at {end}");
            }
        }
    }

    #[track_caller]
    fn check_rejected(change: impl FnOnce(&mut Vec<u8>), want: Reject) {
        let mut pdu = request().encode();
        change(&mut pdu);
        assert_eq!(Associate::decode(&pdu[HEAD_BYTES..]), Ok(Err(want)));
    }

    #[test]
    fn titles_version_and_application_context_are_checked_ps3_8_table_9_21() {
        check_rejected(|pdu| pdu[HEAD_BYTES + 1] = 2, Reject::ProtocolVersion);
        check_rejected(|pdu| pdu[HEAD_BYTES + 4..][..16].fill(b' '), Reject::CalledTitle);
        check_rejected(|pdu| pdu[HEAD_BYTES + 20..][..16].fill(0xE4), Reject::CallingTitle);
        check_rejected(|pdu| pdu[HEAD_BYTES + 20] = b'\\', Reject::CallingTitle);
        check_rejected(|pdu| pdu[HEAD_BYTES + 68 + 4] = b'9', Reject::ApplicationContext);
    }
}
