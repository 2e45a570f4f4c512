//! Command sets: implicit VR little endian elements of group 0000 (PS3.7 6.3, annex E), read into the fields that are used here.

/// Implicit VR Little Endian, in which every command set is written.
pub const IMPLICIT_LITTLE_ENDIAN: &str = "1.2.840.10008.1.2";
/// Verification SOP Class (PS3.4 annex A).
pub const VERIFICATION: &str = "1.2.840.10008.1.1";

/// Data Set Type (0000,0800) when there is none.
const NO_DATA_SET: u16 = 0x0101;
/// Error Comment is LO: 64 characters.
const COMMENT_CHARACTERS_MAX: usize = 64;

/// Command Field (0000,0100).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    /// C-STORE-RQ.
    StoreRequest,
    /// C-STORE-RSP.
    StoreResponse,
    /// C-ECHO-RQ.
    EchoRequest,
    /// C-ECHO-RSP.
    EchoResponse,
    /// C-CANCEL-RQ.
    CancelRequest,
    /// Anything else.
    Other(u16),
}

const RESPONSE: u16 = 0x8000;

impl Field {
    fn of(number: u16) -> Field {
        match number {
            0x0001 => Field::StoreRequest,
            0x8001 => Field::StoreResponse,
            0x0030 => Field::EchoRequest,
            0x8030 => Field::EchoResponse,
            0x0FFF => Field::CancelRequest,
            other => Field::Other(other),
        }
    }

    fn number(self) -> u16 {
        match self {
            Field::StoreRequest => 0x0001,
            Field::StoreResponse => 0x8001,
            Field::EchoRequest => 0x0030,
            Field::EchoResponse => 0x8030,
            Field::CancelRequest => 0x0FFF,
            Field::Other(other) => other,
        }
    }

    /// Whether it answers a request.
    pub fn is_response(self) -> bool {
        self.number() & RESPONSE != 0
    }

    /// What answers it.
    pub fn response(self) -> Field {
        Field::of(self.number() | RESPONSE)
    }
}

/// A command set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// What is asked or answered.
    pub field: Field,
    /// Message ID of a request (0000,0110), or the one responded to (0000,0120).
    pub message: u16,
    /// Affected or requested SOP Class UID (0000,0002), (0000,0003).
    pub sop_class: Option<String>,
    /// Affected or requested SOP Instance UID (0000,1000), (0000,1001); as it came, without padding.
    pub sop_instance: Option<String>,
    /// Priority (0000,0700): 0 medium, 1 high, 2 low.
    pub priority: u16,
    /// Whether a data set follows.
    pub has_data_set: bool,
    /// Status (0000,0900) of a response.
    pub status: Option<u16>,
    /// Error Comment (0000,0902) of a response.
    pub comment: Option<String>,
}

impl Command {
    /// A request without a data set.
    pub fn request(field: Field, message: u16, sop_class: &str) -> Command {
        Command {
            field,
            message,
            sop_class: Some(sop_class.to_owned()),
            sop_instance: None,
            priority: 0,
            has_data_set: false,
            status: None,
            comment: None,
        }
    }

    /// The response to this request, without a data set.
    pub fn respond(&self, status: u16, comment: Option<String>) -> Command {
        Command { field: self.field.response(), has_data_set: false, status: Some(status), comment, ..self.clone() }
    }

    /// Reads a command set. `None`: not one, or one that lacks what every command has.
    pub fn decode(mut bytes: &[u8]) -> Option<Command> {
        let (mut field, mut message, mut responds_to, mut data_set_type) = (None, None, None, None);
        let mut command = Command::request(Field::Other(0), 0, "");
        command.sop_class = None;
        while !bytes.is_empty() {
            let (group, number, value);
            (group, number, value, bytes) = element(bytes)?;
            let word = || value.first_chunk::<2>().map(|two| u16::from_le_bytes(*two));
            let text = || Some(String::from_utf8_lossy(value).trim_end_matches(['\0', ' ']).to_owned());
            match (group, number) {
                (0, 0x0002 | 0x0003) => command.sop_class = text(),
                (0, 0x0100) => field = word(),
                (0, 0x0110) => message = word(),
                (0, 0x0120) => responds_to = word(),
                (0, 0x0700) => command.priority = word()?,
                (0, 0x0800) => data_set_type = word(),
                (0, 0x0900) => command.status = word(),
                (0, 0x0902) => command.comment = text(),
                (0, 0x1000 | 0x1001) => command.sop_instance = text(),
                (0, _) => {}
                _ => return None,
            }
        }
        command.field = Field::of(field?);
        command.has_data_set = data_set_type? != NO_DATA_SET;
        let cancel = command.field == Field::CancelRequest;
        command.message = if command.field.is_response() || cancel { responds_to? } else { message? };
        Some(command)
    }

    /// The command set, group length first.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let word = |out: &mut Vec<u8>, number, value: u16| put(out, number, &value.to_le_bytes());
        if let Some(class) = &self.sop_class {
            put(&mut out, 0x0002, &even(class, 0));
        }
        word(&mut out, 0x0100, self.field.number());
        let message = if self.field.is_response() { 0x0120 } else { 0x0110 };
        word(&mut out, message, self.message);
        if self.field == Field::StoreRequest {
            word(&mut out, 0x0700, self.priority);
        }
        word(&mut out, 0x0800, if self.has_data_set { 0 } else { NO_DATA_SET });
        if let Some(status) = self.status {
            word(&mut out, 0x0900, status);
        }
        if let Some(comment) = &self.comment {
            let short: String = comment.chars().filter(char::is_ascii).take(COMMENT_CHARACTERS_MAX).collect();
            put(&mut out, 0x0902, &even(&short.replace('\\', "/"), b' '));
        }
        if let Some(instance) = &self.sop_instance {
            put(&mut out, 0x1000, &even(instance, 0));
        }
        let mut whole = Vec::new();
        put(&mut whole, 0x0000, &u32::try_from(out.len()).unwrap_or(0).to_le_bytes());
        whole.extend(out);
        whole
    }
}

/// Group, number and value of the first element, and what follows it.
fn element(bytes: &[u8]) -> Option<(u16, u16, &[u8], &[u8])> {
    let (head, rest) = bytes.split_at_checked(8)?;
    let word = |at: usize| u16::from_le_bytes([head[at], head[at + 1]]);
    let length = u32::from_le_bytes([head[4], head[5], head[6], head[7]]);
    let (value, rest) = rest.split_at_checked(usize::try_from(length).ok()?)?;
    Some((word(0), word(2), value, rest))
}

fn put(out: &mut Vec<u8>, number: u16, value: &[u8]) {
    out.extend([0, 0]);
    out.extend(number.to_le_bytes());
    out.extend(u32::try_from(value.len()).unwrap_or(0).to_le_bytes());
    out.extend(value);
}

fn even(text: &str, padding: u8) -> Vec<u8> {
    let mut bytes = text.as_bytes().to_vec();
    if bytes.len() % 2 == 1 {
        bytes.push(padding);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_reads_as_what_was_written() {
        let mut request = Command::request(Field::StoreRequest, 7, "1.2.840.10008.5.1.4.1.1.2");
        request.sop_instance = Some("1.2.3".to_owned());
        request.has_data_set = true;
        request.priority = 1;
        assert_eq!(Command::decode(&request.encode()), Some(request.clone()));
        let response = request.respond(0xA700, Some("disk full".to_owned()));
        let read = Command::decode(&response.encode()).expect("a command set");
        assert_eq!(read, Command { priority: 0, ..response });
    }

    #[test]
    fn a_comment_is_cut_to_what_lo_allows() {
        let request = Command::request(Field::EchoRequest, 1, VERIFICATION);
        let response = request.respond(0x0110, Some(format!("a\\b{}", "x".repeat(200))));
        let comment = Command::decode(&response.encode()).and_then(|read| read.comment).expect("a comment");
        assert!(comment.starts_with("a/b") && comment.len() == 64, "{comment}");
    }

    #[test]
    fn bytes_that_are_no_command_set_are_none_wherever_they_are_cut() {
        let whole = Command::request(Field::EchoRequest, 1, VERIFICATION).encode();
        for end in 0..whole.len() {
            // Data Set Type is the last element: without it there is no command.
            assert_eq!(Command::decode(&whole[..end]), None, "cut at {end}");
        }
        assert_eq!(Command::decode(&[0xFF; 64]), None);
    }
}
