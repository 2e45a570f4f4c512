//! DICOM's upper layer and messages as values: PDUs (PS3.8), command sets (PS3.7), and a connection that carries them with limits.
//!
//! In: bytes of a peer that nobody trusts.   Out: association requests, commands, fragments of data sets; and the same the other way.
//! Standard: PS3.8 section 9 (PDUs, timer ARTIM), PS3.7 section 9 and annexes C and E (commands, statuses).
//! Does not know: who may associate, what a data set means.
//! Invariants
//! - Nothing is allocated for a length that a peer states: lengths are compared with a limit first, and buffers grow as bytes come.
//! - Every read and every write ends within the time that its caller gives.
//! - One PDU is one write: a peer's delayed acknowledgement never stands between its header and its body.
mod associate;
mod command;
mod connection;
mod item;
mod pdu;
mod socket;

pub use associate::{Accepted, Answer, Associate, Context, IMPLEMENTATION, Proposed, Role};
pub use command::{Command, Field, IMPLICIT_LITTLE_ENDIAN, VERIFICATION};
pub use connection::{Connection, Fragment, Heard, Limits};
pub use pdu::{Abort, Fault, Reject};
pub use socket::Quick;
