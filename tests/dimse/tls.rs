//! The promise: the TLS port takes associations of those whose certificates hold, refuses all others, and serves the next peer.
use std::{
    path::Path,
    process::{Command, Output},
};

use crate::{
    models, port,
    support::{
        dicom::cr,
        server::{self, ServerProcess},
    },
    tools::{has, text},
};

/// Runs openssl in `folder`.
fn openssl(folder: &Path, args: &str) {
    let run = Command::new("openssl").args(args.split(' ')).current_dir(folder).output().expect("openssl runs");
    assert!(run.status.success(), "openssl {args}: {}", text(&run));
}

/// An authority `NAME-ca.pem`, and `NAME.pem` with `NAME.key` signed by it.
fn certificates(folder: &Path, name: &str) {
    openssl(
        folder,
        &format!(
            "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN={name}-ca -keyout {name}-ca.key -out {name}-ca.pem"
        ),
    );
    openssl(
        folder,
        &format!(
            "req -newkey rsa:2048 -nodes -subj /CN=localhost -addext subjectAltName=DNS:localhost,IP:127.0.0.1 -keyout {name}.key -out {name}.csr"
        ),
    );
    openssl(
        folder,
        &format!(
            "x509 -req -in {name}.csr -CA {name}-ca.pem -CAkey {name}-ca.key -CAcreateserial -days 2 -copy_extensions copy -out {name}.pem"
        ),
    );
}

/// A server whose only DICOM port speaks TLS; `clients`: the authority that callers need.
fn start(home: &Path, clients: Option<&str>) -> ServerProcess {
    let file = |name: &str| home.join(name).display().to_string();
    let mut sets = vec![
        "dimse.tls_listen=127.0.0.1:0".to_owned(),
        format!("dimse.tls_certificate={}", file("good.pem")),
        format!("dimse.tls_key={}", file("good.key")),
        "dimse.association_s=5".to_owned(),
    ];
    sets.extend(clients.map(|clients| format!("dimse.tls_clients={}", file(clients))));
    let sets: Vec<&str> = sets.iter().map(String::as_str).collect();
    server::start(&home.join("data"), &models(), &sets)
}

/// A DCMTK tool in `home`, with options of its own before host and port.
fn call(home: &Path, program: &str, options: &str, port: &str, file: &str) -> Output {
    let mut command = Command::new(program);
    command.args("-to 10 -ta 20 -td 30 -aec OVERREAD".split(' ')).args(options.split_terminator(' '));
    command.args(["127.0.0.1", port]).args(file.split_terminator(' ')).current_dir(home);
    command.output().unwrap_or_else(|error| panic!("{program}: {error}"))
}

const MUTUAL: &str = "+tls good.key good.pem +cf good-ca.pem";

#[test]
fn dcmtk_associates_by_tls_and_only_with_certificates_that_hold() {
    if !has("echoscu") || !has("openssl") {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let home = folder.path();
    certificates(home, "good");
    certificates(home, "bad");
    std::fs::write(home.join("image.dcm"), cr(64, 64, 31).bytes()).expect("a file");

    let server = start(home, Some("good-ca.pem"));
    let stored = call(home, "storescu", &format!("-v {MUTUAL}"), port(&server), "image.dcm");
    assert!(stored.status.success() && text(&stored).contains("(Success)"), "{}", text(&stored));
    for (case, options, holds) in [
        ("both certificates hold", MUTUAL, true),
        ("extended profile of BCP 195", "+tls good.key good.pem +cf good-ca.pem +pz", true),
        ("certificate of another authority", "+tls bad.key bad.pem +cf good-ca.pem", false),
        ("no certificate", "+tla +cf good-ca.pem", false),
        ("does not trust us", "+tls good.key good.pem +cf bad-ca.pem", false),
        ("plain", "", false),
    ] {
        let echo = call(home, "echoscu", options, port(&server), "");
        assert_eq!(echo.status.success(), holds, "{case}: {}", text(&echo));
        assert!(call(home, "echoscu", MUTUAL, port(&server), "").status.success(), "after {case}");
    }
    assert!(server.terminate().success());

    let server = start(home, None);
    let echo = call(home, "echoscu", "+tla +cf good-ca.pem", port(&server), "");
    assert!(echo.status.success(), "no certificate where none is asked for: {}", text(&echo));
    assert!(server.terminate().success());
}
