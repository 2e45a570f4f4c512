//! The promise: whatever a peer does ends in a status, a rejection, an abort or a close within the configured times, and the next peer is
//! served as if nothing had been.
use std::{
    net::Shutdown,
    time::{Duration, Instant},
};

use crate::{
    address,
    peer::{CR, CT, ECHO, IMPLICIT, IN_CR, IN_ECHO, Peer, Request, command, data, data_set, item, pdu},
    start,
    support::dicom::{cr, element},
};

/// Short, so that the slow cases end; longer than a loaded machine takes for an honest message.
const TIMES: [&str; 2] = ["dimse.association_s=2", "dimse.idle_s=3"];
/// Every case must end within this, connection to last answer.
const END: Duration = Duration::from_secs(25);

type Act = fn(&str) -> String;
type Change = fn(&mut Request);

/// Requests that are answered before any message.
#[rustfmt::skip]
const REQUESTS: &[(&str, Change, &str)] = &[
    ("wrong called title",          |r| r.called = *b"NOBODY          ",                        "reject 1 1 7"),
    ("called title in lower case",  |r| r.called = *b"overread        ",                        "reject 1 1 7"),
    ("calling title of spaces",     |r| r.calling = [b' '; 16],                                 "reject 1 1 3"),
    ("calling title not ASCII",     |r| r.calling = [0xE4; 16],                                 "reject 1 1 3"),
    ("calling title of NULs",       |r| r.calling = [0; 16],                                    "reject 1 1 3"),
    ("wrong application context",   |r| r.application = "1.2.3".to_owned(),                     "reject 1 1 2"),
    ("protocol version 0",          |r| r.version = 0,                                          "reject 1 2 2"),
    ("takes one byte at once",      |r| r.pdu_bytes_max = 1,                                    "reject 1 1 1"),
    ("takes any length",            |r| r.pdu_bytes_max = 0,                                    "accept"),
    ("unknown SOP Class",           |r| r.contexts = vec![("1.2.3".into(), vec![IMPLICIT.into()])], "accept"),
    ("unknown transfer syntax",     |r| r.contexts = vec![(CT.into(), vec!["1.2.3".into()])],   "accept"),
    ("no contexts",                 |r| r.contexts.clear(),                                     "accept"),
    ("128 contexts",                |r| r.contexts = vec![(CT.into(), vec![IMPLICIT.into()]); 128], "accept"),
    ("128 contexts of 100 syntaxes", |r| r.contexts = vec![(CT.into(), vec![IMPLICIT.into(); 100]); 128], "abort 2 6"),
    ("user item of 60 KB",          |r| r.user = item(0x77, &[b'x'; 60_000]),                   "accept"),
    ("asynchronous operations",     |r| r.user = item(0x53, &[0, 0, 0, 0]),                     "accept"),
    ("extended negotiation cut",    |r| r.user = item(0x56, &[0, 99, 1]),                       "accept"),
    ("role item cut",               |r| r.user = item(0x54, &[0, 99, 1]),                       "abort 2 6"),
    ("item longer than its PDU",    |r| r.user = vec![0x52, 0, 0xFF, 0xFF, 1],                  "abort 2 6"),
];

/// What goes wrong on a connection or in an association.
#[rustfmt::skip]
const ACTS: &[(&str, Act, &str)] = &[
    ("says nothing",                |to| Peer::connect(to).hear(),                              "abort 0 0"),
    ("speaks HTTP",                 |to| before(to, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"),      "abort 2 1"),
    ("request of 4 GiB",            |to| before(to, &[&[1, 0, 0xFF, 0xFF, 0xFF, 0xFF][..], &[0; 5000]].concat()), "abort 2 6"),
    ("request of 3 bytes",          |to| before(to, &pdu(1, &[0, 1, 0])),                       "abort 2 6"),
    ("data before a request",       |to| before(to, &data(1, 3, b"hello!")),                    "abort 2 2"),
    ("one byte at a time",          slow_request,                                               "abort 0 0"),
    ("PDU of 2 GiB",                |to| after(to, &[&[4, 0, 0x7F, 0xFF, 0xFF, 0xFF][..], &[0; 90_000]].concat()), "abort 2 6"),
    ("PDU of nothing",              |to| after(to, &pdu(4, &[])),                               "abort 2 6"),
    ("fragment longer than its PDU", |to| after(to, &pdu(4, &[&[0, 0, 7, 208, 1, 3][..], &[0; 14]].concat())), "abort 2 6"),
    ("fragment of length 1",        |to| after(to, &pdu(4, &[0, 0, 0, 1, 1, 3])),               "abort 2 6"),
    ("unknown context",             |to| after(to, &data(99, 3, &command(1, CT, "1.2.3", true))), "abort 2 6"),
    ("second request",              |to| after(to, &Request::default().bytes()),                "abort 2 2"),
    ("unknown PDU",                 |to| after(to, &pdu(0x77, b"abcd")),                        "abort 2 1"),
    ("a response nobody asked for", |to| after(to, &data(IN_ECHO, 3, &command(0x8030, ECHO, "", false))), "abort 2 6"),
    ("data set without a command",  |to| after(to, &data(IN_CR, 2, b"abcd")),                   "abort 2 2"),
    ("command set of garbage",      |to| after(to, &data(IN_CR, 3, &[0xFF; 100])),              "abort 2 6"),
    ("command set without an end",  endless_command,                                            "abort 2 6"),
    ("command within a data set",   |to| after(to, &[store_command("1.2.3"), store_command("1.2.3")].concat()), "abort 2 2"),
    ("release within a data set",   |to| after(to, &[store_command("1.2.3"), pdu(5, &[0; 4])].concat()), "abort 2 2"),
    ("release collision",           |to| after(to, &pdu(6, &[0; 4])),                           "abort 2 2"),
    ("vanishes in a data set",      |to| { let mut peer = Peer::accepted(to); peer.send(&store_command("1.2.3")); "gone".to_owned() }, "gone"),
    ("half closes in a data set",   half_close,                                                 "closed"),
    ("aborts in a data set",        |to| after(to, &[store_command("1.2.3"), pdu(7, &[0; 4])].concat()), "closed"),
    ("stalls in a data set",        |to| after(to, &[store_command("1.2.3"), data(IN_CR, 0, b"abcd")].concat()), "abort 0 0"),
    ("stalls in a PDU",             |to| after(to, &[4, 0, 0, 0, 1, 0, 0]),                     "abort 0 0"),
    ("idle",                        |to| after(to, &[]),                                        "abort 0 0"),
    ("another instance inside",     |to| after(to, &store("2.25.1", &data_set(&cr(8, 8, 1)))),  "status A900"),
    ("another instance and no pixels", |to| after(to, &store("2.25.1", &cr(8, 8, 1).header())), "status A900"),
    ("another class inside",        another_class,                                              "status A900"),
    ("class of another context",    |to| after(to, &[data(IN_CR, 3, &command(1, CT, "1.2.3", true)), data(IN_CR, 2, b"abcd")].concat()), "status 0122"),
    ("instance is no UID",          |to| after(to, &store("../../etc", b"abcd")),               "status 0117"),
    ("instance of 65 characters",   |to| after(to, &store(&"1".repeat(65), b"abcd")),           "status 0117"),
    ("data set of garbage",         |to| after(to, &store("1.2.3", &[0xFF; 1000])),             "status C000"),
    ("data set cut",                |to| after(to, &store("2.25.3000001", &data_set(&cr(8, 8, 1))[..400])), "status C000"),
    ("data set empty",              |to| after(to, &store("1.2.3", b"")),                       "status C000"),
    ("data set of odd lengths",     odd_lengths,                                                "status C000"),
    ("store without a data set",    |to| after(to, &data(IN_CR, 3, &command(1, CR, "1.2.3", false))), "status 0212"),
    ("unknown operation",           |to| after(to, &data(IN_CR, 3, &command(0x7777, CR, "", false))), "status 0211"),
    ("unknown operation with data", |to| after(to, &[data(IN_CR, 3, &command(0x0020, CR, "", true)), data(IN_CR, 2, b"abcd")].concat()), "status 0211"),
    ("echo in a storage context",   |to| after(to, &data(IN_CR, 3, &command(0x30, ECHO, "", false))), "status 0122"),
    ("cancels nothing, then echoes", |to| after(to, &[data(IN_CR, 3, &cancel()), data(IN_ECHO, 3, &command(0x30, ECHO, "", false))].concat()), "status 0000"),
    ("fragments of one byte",       one_byte_fragments,                                         "status 0000"),
    ("takes 32 bytes at once",      tiny_peer,                                                  "status 0000"),
    ("deflated bomb",               deflated_bomb,                                              "status C000"),
];

fn before(to: &str, bytes: &[u8]) -> String {
    let mut peer = Peer::connect(to);
    peer.send(bytes);
    peer.hear()
}

fn after(to: &str, bytes: &[u8]) -> String {
    let mut peer = Peer::accepted(to);
    peer.send(bytes);
    peer.hear()
}

fn store_command(instance: &str) -> Vec<u8> {
    data(IN_CR, 3, &command(1, CR, instance, true))
}

fn store(instance: &str, data_set: &[u8]) -> Vec<u8> {
    [store_command(instance), data(IN_CR, 2, data_set)].concat()
}

fn cancel() -> Vec<u8> {
    let word = |number: u8, value: u16| [&[0, 0, number, 1, 2, 0, 0, 0][..], &value.to_le_bytes()].concat();
    [word(0x00, 0x0FFF), word(0x20, 7), [&[0, 0, 0, 8, 2, 0, 0, 0][..], &0x0101u16.to_le_bytes()].concat()].concat()
}

fn slow_request(to: &str) -> String {
    let mut peer = Peer::connect(to);
    for byte in Request::default().bytes().iter().take(20) {
        peer.send(&[*byte]);
        // The case is about time passing.
        std::thread::sleep(Duration::from_millis(200));
    }
    peer.hear()
}

fn endless_command(to: &str) -> String {
    let mut peer = Peer::accepted(to);
    for _ in 0..20 {
        peer.send(&data(IN_CR, 1, &[0; 16_000]));
    }
    peer.hear()
}

fn half_close(to: &str) -> String {
    let mut peer = Peer::accepted(to);
    peer.send(&store_command("1.2.3"));
    peer.0.shutdown(Shutdown::Write).expect("a socket");
    peer.hear()
}

fn another_class(to: &str) -> String {
    let mut made = cr(8, 8, 1);
    made.sop_class = "1.2.840.10008.5.1.4.1.1.7".to_owned();
    after(to, &store(&made.sop_instance, &data_set(&made)))
}

/// Lengths that are odd are against PS3.5 7.1; pixels of an odd length are also too few.
fn odd_lengths(to: &str) -> String {
    let made = cr(8, 8, 2);
    let mut bytes = made.header();
    let mut pixels = element(0x7FE0, 0x0010, "OW", &[0; 128]);
    pixels.truncate(pixels.len() - 1);
    pixels[8] -= 1;
    bytes.extend(pixels);
    after(to, &store(&made.sop_instance, &bytes))
}

fn one_byte_fragments(to: &str) -> String {
    let made = cr(8, 8, 3);
    let (bytes, mut sent) = (data_set(&made), store_command(&made.sop_instance));
    for (index, byte) in bytes.iter().enumerate() {
        sent.extend(data(IN_CR, if index + 1 == bytes.len() { 2 } else { 0 }, &[*byte]));
    }
    after(to, &sent)
}

fn tiny_peer(to: &str) -> String {
    let (mut peer, heard) = Peer::associate(to, &Request { pdu_bytes_max: 32, ..Request::default() });
    assert_eq!(heard, "accept");
    peer.echo()
}

/// Zeros beyond what a data set may inflate to (256 MiB), deflated as a whole data set (PS3.5 A.5).
fn deflated_bomb(to: &str) -> String {
    use std::io::Write;
    let mut deflater = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::fast());
    deflater.write_all(&cr(8, 8, 4).header()).expect("memory");
    for _ in 0..300 {
        deflater.write_all(&vec![0; 1 << 20]).expect("memory");
    }
    let bomb = deflater.finish().expect("memory");
    // Made before the association stands: it would be idle meanwhile.
    let contexts = vec![(CR.to_owned(), vec!["1.2.840.10008.1.2.1.99".to_owned()])];
    let (mut peer, heard) = Peer::associate(to, &Request { contexts, ..Request::default() });
    assert_eq!(heard, "accept");
    peer.send(&store_command("2.25.3000004"));
    let parts: Vec<_> = bomb.chunks(100_000).collect();
    for (index, part) in parts.iter().enumerate() {
        peer.send(&data(IN_CR, if index + 1 == parts.len() { 2 } else { 0 }, part));
    }
    peer.hear()
}

#[test]
fn every_abuse_ends_in_its_answer_and_the_next_peer_is_served() {
    let home = tempfile::tempdir().expect("a temporary folder");
    let server = start(home.path(), &TIMES);
    let to = address(&server);
    let mut wrong = Vec::new();
    let mut check = |name: &str, act: &dyn Fn() -> String, want: &str| {
        let began = Instant::now();
        let got = act();
        let took = began.elapsed();
        let echo = Peer::accepted(to).echo();
        if got != want || took > END || echo != "status 0000" {
            wrong.push(format!("{name}: {got} after {took:?}, then {echo}; wanted {want}"));
        }
    };
    for (name, change, want) in REQUESTS {
        let act = || {
            let mut request = Request::default();
            change(&mut request);
            Peer::associate(to, &request).1
        };
        check(name, &act, want);
    }
    for (name, act, want) in ACTS {
        check(name, &|| act(to), want);
    }
    assert!(wrong.is_empty(), "{} of {} cases:\n{}", wrong.len(), REQUESTS.len() + ACTS.len(), wrong.join("\n"));
    assert!(!server.log().contains("Generated^Person"), "a name is in the log");
    assert!(server.terminate().success());
}
