//! Who may associate, by called title, calling title and address.
use std::net::IpAddr;

use super::{Config, address::Network};
use crate::{
    error::{Code, Error, Result, Subject},
    network::{Associate, Reject},
};

/// The rules, read once at start.
#[derive(Debug, Clone)]
pub struct Peers {
    title: String,
    rules: Vec<Rule>,
}

#[derive(Debug, Clone)]
struct Rule {
    calling: Option<String>,
    network: Option<Network>,
    granted: Granted,
}

/// What an admitted peer may do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Granted {
    /// Its studies are sealed when it releases.
    pub(super) seal_on_release: bool,
}

impl Peers {
    /// Reads the rules. Errors: `InvalidArgument` that names the key.
    pub fn new(config: &Config) -> Result<Peers> {
        let bad = |key: &str, what: &str| {
            Err(Error::new(Code::InvalidArgument, what.to_owned()).about(Subject::Field(key.to_owned())))
        };
        if !is_title(&config.title) {
            return bad("dimse.title", "an AE title has 1 to 16 characters of ASCII, no backslash");
        }
        let mut rules = Vec::new();
        for peer in &config.peers {
            let network = match (peer.address.as_str(), Network::parse(&peer.address)) {
                ("", _) => None,
                (_, Some(network)) => Some(network),
                (_, None) => {
                    return bad("dimse.peers.address", "is neither an IP address nor a network like 10.1.0.0/16");
                }
            };
            if !is_title(&peer.calling) {
                return bad(
                    "dimse.peers.calling",
                    "an AE title has 1 to 16 characters of ASCII, no backslash; * is any",
                );
            }
            let calling = (peer.calling != "*").then(|| peer.calling.trim().to_owned());
            rules.push(Rule { calling, network, granted: Granted { seal_on_release: peer.seal_on_release } });
        }
        Ok(Peers { title: config.title.trim().to_owned(), rules })
    }

    /// Whether the request from `address` is admitted, and what its peer may do.
    pub(super) fn admit(&self, request: &Associate, address: IpAddr) -> std::result::Result<Granted, Reject> {
        if request.called != self.title {
            return Err(Reject::CalledTitle);
        }
        if self.rules.is_empty() {
            return Ok(Granted::default());
        }
        let fits = |rule: &&Rule| {
            rule.calling.as_ref().is_none_or(|calling| *calling == request.calling)
                && rule.network.is_none_or(|network| network.has(address))
        };
        self.rules.iter().find(fits).map(|rule| rule.granted).ok_or(Reject::CallingTitle)
    }
}

fn is_title(text: &str) -> bool {
    let trimmed = text.trim();
    (1..=16).contains(&trimmed.len()) && trimmed.bytes().all(|byte| (0x20..0x7f).contains(&byte) && byte != b'\\')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::dimse::Peer;

    fn peers(rules: &[(&str, &str, bool)]) -> Result<Peers> {
        let peer = |(calling, address, seal_on_release): &(&str, &str, bool)| Peer {
            calling: (*calling).to_owned(),
            address: (*address).to_owned(),
            seal_on_release: *seal_on_release,
        };
        Peers::new(&Config { peers: rules.iter().map(peer).collect(), ..Config::default() })
    }

    #[track_caller]
    fn check(rules: &[(&str, &str, bool)], called: &str, calling: &str, want: std::result::Result<bool, Reject>) {
        let request = Associate {
            called: called.to_owned(),
            calling: calling.to_owned(),
            contexts: Vec::new(),
            pdu_bytes_max: 0,
            roles: Vec::new(),
        };
        let address = "10.1.2.3".parse().expect("an address");
        let got = peers(rules).expect("valid rules").admit(&request, address);
        assert_eq!(got.map(|granted| granted.seal_on_release), want);
    }

    #[test]
    fn the_first_rule_that_fits_holds() {
        check(&[], "OVERREAD", "ANY", Ok(false));
        check(&[], "OTHER", "ANY", Err(Reject::CalledTitle));
        check(&[("CT1", "", true)], "OVERREAD", "CT1", Ok(true));
        check(&[("CT1", "", true)], "OVERREAD", "CT2", Err(Reject::CallingTitle));
        check(&[("CT1", "10.1.0.0/16", true), ("*", "", false)], "OVERREAD", "CT1", Ok(true));
        check(&[("CT1", "10.9.0.0/16", true), ("*", "", false)], "OVERREAD", "CT1", Ok(false));
        check(&[("CT1", "10.9.0.0/16", true)], "OVERREAD", "CT1", Err(Reject::CallingTitle));
    }

    #[test]
    fn a_rule_that_cannot_be_read_names_its_key() {
        let field = |rules: &[(&str, &str, bool)]| peers(rules).map(|_| ()).map_err(|error| error.subject);
        assert_eq!(field(&[("CT1", "ct1.example", false)]), Err(Subject::Field("dimse.peers.address".to_owned())));
        assert_eq!(field(&[("", "", false)]), Err(Subject::Field("dimse.peers.calling".to_owned())));
        assert_eq!(field(&[("SEVENTEEN-LETTERS", "", false)]), Err(Subject::Field("dimse.peers.calling".to_owned())));
    }
}
