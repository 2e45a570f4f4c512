//! A peer that writes its bytes itself (PS3.7, PS3.8), so that it can write wrong ones, and says in a word what it hears.
use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

use crate::support::dicom::{Cr, element};

pub const CR: &str = "1.2.840.10008.5.1.4.1.1.1";
pub const CT: &str = "1.2.840.10008.5.1.4.1.1.2";
pub const ECHO: &str = "1.2.840.10008.1.1";
pub const IMPLICIT: &str = "1.2.840.10008.1.2";
pub const EXPLICIT: &str = "1.2.840.10008.1.2.1";

/// Longer than any timeout that a test configures: silence beyond it is a finding.
const PATIENCE: Duration = Duration::from_secs(30);

/// An association request; every field may be wrong.
pub struct Request {
    pub version: u16,
    pub called: [u8; 16],
    pub calling: [u8; 16],
    pub application: String,
    /// SOP Class and transfer syntaxes; numbered 1, 3, 5...
    pub contexts: Vec<(String, Vec<String>)>,
    pub pdu_bytes_max: u32,
    /// More items of user information, as they are.
    pub user: Vec<u8>,
}

impl Default for Request {
    fn default() -> Request {
        let context = |class: &str, syntax: &str| (class.to_owned(), vec![syntax.to_owned()]);
        Request {
            version: 1,
            called: *b"OVERREAD        ",
            calling: *b"ABUSE           ",
            application: "1.2.840.10008.3.1.1.1".to_owned(),
            contexts: vec![context(CR, EXPLICIT), context(ECHO, IMPLICIT), context(CT, IMPLICIT)],
            pdu_bytes_max: 16384,
            user: Vec::new(),
        }
    }
}

/// Contexts of a default request.
pub const IN_CR: u8 = 1;
pub const IN_ECHO: u8 = 3;

impl Request {
    pub fn bytes(&self) -> Vec<u8> {
        let mut body = [&self.version.to_be_bytes()[..], &[0, 0], &self.called, &self.calling, &[0; 32]].concat();
        body.extend(item(0x10, self.application.as_bytes()));
        for (index, (class, syntaxes)) in self.contexts.iter().enumerate() {
            let mut value = vec![(2 * index + 1) as u8, 0, 0, 0];
            value.extend(item(0x30, class.as_bytes()));
            syntaxes.iter().for_each(|syntax| value.extend(item(0x40, syntax.as_bytes())));
            body.extend(item(0x20, &value));
        }
        let mut user = item(0x51, &self.pdu_bytes_max.to_be_bytes());
        user.extend(item(0x52, b"1.2.3.4"));
        user.extend(&self.user);
        body.extend(item(0x50, &user));
        pdu(1, &body)
    }
}

pub fn item(kind: u8, value: &[u8]) -> Vec<u8> {
    [&[kind, 0][..], &(value.len() as u16).to_be_bytes(), value].concat()
}

pub fn pdu(kind: u8, body: &[u8]) -> Vec<u8> {
    [&[kind, 0][..], &(body.len() as u32).to_be_bytes(), body].concat()
}

/// A P-DATA PDU of one fragment. Flags: 1 command, 2 last.
pub fn data(context: u8, flags: u8, bytes: &[u8]) -> Vec<u8> {
    let fragment = [&(bytes.len() as u32 + 2).to_be_bytes()[..], &[context, flags], bytes].concat();
    pdu(4, &fragment)
}

/// A command set. `field` 1: C-STORE-RQ, 0x30: C-ECHO-RQ.
pub fn command(field: u16, class: &str, instance: &str, has_data_set: bool) -> Vec<u8> {
    let put = |number: u16, value: &[u8]| {
        let mut value = value.to_vec();
        value.resize(value.len() + value.len() % 2, 0);
        [&[0, 0][..], &number.to_le_bytes(), &(value.len() as u32).to_le_bytes(), &value].concat()
    };
    let mut body = put(0x0002, class.as_bytes());
    body.extend(put(0x0100, &field.to_le_bytes()));
    body.extend(put(0x0110, &7u16.to_le_bytes()));
    if field == 1 {
        body.extend(put(0x0700, &[0, 0]));
    }
    body.extend(put(0x0800, &(if has_data_set { 0u16 } else { 0x0101 }).to_le_bytes()));
    if field == 1 {
        body.extend(put(0x1000, instance.as_bytes()));
    }
    [put(0x0000, &(body.len() as u32).to_le_bytes()), body].concat()
}

/// The data set of a made image, as it stands behind the file meta group.
pub fn data_set(made: &Cr) -> Vec<u8> {
    let pixels: Vec<u8> = made.pixels.iter().flat_map(|value| value.to_le_bytes()).collect();
    [made.header(), element(0x7FE0, 0x0010, "OW", &pixels)].concat()
}

/// One connection.
pub struct Peer(pub TcpStream);

impl Peer {
    pub fn connect(address: &str) -> Peer {
        let stream = TcpStream::connect(address).expect("the port takes connections");
        stream.set_nodelay(true).expect("a socket option");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket option");
        Peer(stream)
    }

    /// Connects, sends the request, and gives what was answered.
    pub fn associate(address: &str, request: &Request) -> (Peer, String) {
        let mut peer = Peer::connect(address);
        peer.send(&request.bytes());
        let heard = peer.hear();
        (peer, heard)
    }

    /// An association with the default request.
    pub fn accepted(address: &str) -> Peer {
        let (peer, heard) = Peer::associate(address, &Request::default());
        assert_eq!(heard, "accept");
        peer
    }

    /// Writes; whether the other side still took it is no matter.
    pub fn send(&mut self, bytes: &[u8]) {
        let _taken = self.0.write_all(bytes);
    }

    /// Sends an image and gives what was answered.
    pub fn store(&mut self, made: &Cr) -> String {
        self.send_store(made);
        self.hear()
    }

    pub fn send_store(&mut self, made: &Cr) {
        self.send(&data(IN_CR, 3, &command(1, CR, &made.sop_instance, true)));
        let bytes = data_set(made);
        let parts: Vec<_> = bytes.chunks(16000).collect();
        for (index, part) in parts.iter().enumerate() {
            self.send(&data(IN_CR, if index + 1 == parts.len() { 2 } else { 0 }, part));
        }
    }

    pub fn echo(&mut self) -> String {
        self.send(&data(IN_ECHO, 3, &command(0x30, ECHO, "", false)));
        self.hear()
    }

    /// Ends in order.
    pub fn release(mut self) -> String {
        self.send(&pdu(5, &[0; 4]));
        self.hear()
    }

    /// The next PDU in words: `accept`, `reject 1 1 7`, `status A900`, `release`, `abort 2 6`, `closed`, `silence`.
    pub fn hear(&mut self) -> String {
        let mut head = [0; 6];
        if let Err(error) = self.0.read_exact(&mut head) {
            return match error.kind() {
                std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut => "silence".to_owned(),
                _ => "closed".to_owned(),
            };
        }
        let length = u32::from_be_bytes([head[2], head[3], head[4], head[5]]);
        let mut body = vec![0; length as usize];
        self.0.read_exact(&mut body).expect("a whole PDU");
        match head[0] {
            2 => "accept".to_owned(),
            3 => format!("reject {} {} {}", body[1], body[2], body[3]),
            4 => self.status(body),
            6 => "release".to_owned(),
            7 => format!("abort {} {}", body[2], body[3]),
            other => format!("PDU of type {other}"),
        }
    }

    /// The status in a response that may come in several fragments.
    fn status(&mut self, body: Vec<u8>) -> String {
        let (mut body, mut whole) = (body, Vec::new());
        loop {
            whole.extend_from_slice(&body[6..]);
            if body[5] & 2 != 0 {
                break;
            }
            let mut head = [0; 6];
            self.0.read_exact(&mut head).expect("the next fragment");
            body = vec![0; u32::from_be_bytes([head[2], head[3], head[4], head[5]]) as usize];
            self.0.read_exact(&mut body).expect("a whole PDU");
        }
        let at = whole.windows(8).position(|window| window == [0, 0, 0, 9, 2, 0, 0, 0]).expect("a status") + 8;
        format!("status {:04X}", u16::from_le_bytes([whole[at], whole[at + 1]]))
    }
}
