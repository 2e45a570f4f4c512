//! PDU types and the short ones among them: rejection, release, abort (PS3.8 9.3.4, 9.3.6 to 9.3.8), and what can be wrong with a peer.

/// First byte of a PDU (PS3.8 9.3.1).
pub(super) const ASSOCIATE_RQ: u8 = 0x01;
pub(super) const ASSOCIATE_AC: u8 = 0x02;
pub(super) const ASSOCIATE_RJ: u8 = 0x03;
pub(super) const P_DATA: u8 = 0x04;
pub(super) const RELEASE_RQ: u8 = 0x05;
pub(super) const RELEASE_RP: u8 = 0x06;
pub(super) const ABORT: u8 = 0x07;

/// Bytes before a PDU's body: type, a reserved byte, length.
pub(super) const HEAD_BYTES: usize = 6;

/// Why an association is not accepted (PS3.8 table 9-21): result, source and reason in one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reject {
    /// Permanent, by the user: no reason that the standard has a number for.
    NoReason,
    /// Permanent, by the user: the application context is not DICOM's.
    ApplicationContext,
    /// Permanent, by the user: the calling AE title may not send here.
    CallingTitle,
    /// Permanent, by the user: nobody of the called AE title is here.
    CalledTitle,
    /// Permanent, by the provider: another version of the protocol.
    ProtocolVersion,
    /// Transient, by the provider: shutting down, or congested.
    Congestion,
    /// Transient, by the provider: as many associations as are allowed.
    LimitExceeded,
}

impl Reject {
    /// Result, source, reason.
    pub fn numbers(self) -> [u8; 3] {
        match self {
            Reject::NoReason => [1, 1, 1],
            Reject::ApplicationContext => [1, 1, 2],
            Reject::CallingTitle => [1, 1, 3],
            Reject::CalledTitle => [1, 1, 7],
            Reject::ProtocolVersion => [1, 2, 2],
            Reject::Congestion => [2, 3, 1],
            Reject::LimitExceeded => [2, 3, 2],
        }
    }

    /// The PDU.
    pub fn encode(self) -> Vec<u8> {
        let [result, source, reason] = self.numbers();
        short(ASSOCIATE_RJ, [0, result, source, reason])
    }
}

/// An abort: source and reason (PS3.8 table 9-26).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Abort {
    /// 0: the user; 2: the provider.
    pub source: u8,
    /// Why, where the source is the provider.
    pub reason: u8,
}

impl Abort {
    /// By the application itself.
    pub const BY_USER: Abort = Abort { source: 0, reason: 0 };
    const UNRECOGNIZED: Abort = Abort { source: 2, reason: 1 };
    const UNEXPECTED: Abort = Abort { source: 2, reason: 2 };
    const INVALID: Abort = Abort { source: 2, reason: 6 };

    /// The PDU.
    pub fn encode(self) -> Vec<u8> {
        short(ABORT, [0, 0, self.source, self.reason])
    }
}

/// What ends an association out of order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The connection was closed or reset.
    Gone,
    /// Nothing, or too little, came or was taken within the time.
    Silence,
    /// A PDU of a type that there is not, or no DICOM at all.
    Unrecognized,
    /// A PDU that cannot come now.
    Unexpected,
    /// A PDU longer than is allowed, or not as the standard has it.
    Invalid,
    /// The peer ended it.
    Aborted(Abort),
    /// Not the peer's fault.
    Ours,
}

impl Fault {
    /// What the peer is told, if it can still hear it.
    pub fn abort(self) -> Option<Abort> {
        match self {
            Fault::Gone | Fault::Aborted(_) => None,
            Fault::Silence | Fault::Ours => Some(Abort::BY_USER),
            Fault::Unrecognized => Some(Abort::UNRECOGNIZED),
            Fault::Unexpected => Some(Abort::UNEXPECTED),
            Fault::Invalid => Some(Abort::INVALID),
        }
    }

    /// A word for logs.
    pub fn name(self) -> &'static str {
        match self {
            Fault::Gone => "connection_lost",
            Fault::Silence => "timeout",
            Fault::Unrecognized => "unrecognized_pdu",
            Fault::Unexpected => "unexpected_pdu",
            Fault::Invalid => "invalid_pdu",
            Fault::Aborted(_) => "aborted_by_peer",
            Fault::Ours => "own_fault",
        }
    }
}

/// A PDU of four bytes.
pub(super) fn short(kind: u8, body: [u8; 4]) -> Vec<u8> {
    let mut pdu = vec![kind, 0, 0, 0, 0, 4];
    pdu.extend(body);
    pdu
}
