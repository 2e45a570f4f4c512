//! An IP address or a network of them, as a rule names it.
use std::net::IpAddr;

/// The addresses whose first `bits` bits are those of `base`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Network {
    base: IpAddr,
    bits: u32,
}

impl Network {
    /// `10.1.2.3`, `10.1.0.0/16`, `fd00::/8`. `None`: none of these.
    pub(super) fn parse(text: &str) -> Option<Network> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits.parse().ok()?)),
            None => (text, None),
        };
        let base: IpAddr = address.trim().parse().ok()?;
        let width = if base.is_ipv4() { 32 } else { 128 };
        let bits = bits.unwrap_or(width);
        (bits <= width).then_some(Network { base, bits })
    }

    /// Whether `address` is in it; an IPv4 address that came over IPv6 counts as what it is.
    pub(super) fn has(&self, address: IpAddr) -> bool {
        match (self.base, address.to_canonical()) {
            (IpAddr::V4(base), IpAddr::V4(address)) => {
                same_start(u128::from(base.to_bits()) << 96, u128::from(address.to_bits()) << 96, self.bits)
            }
            (IpAddr::V6(base), IpAddr::V6(address)) => same_start(base.to_bits(), address.to_bits(), self.bits),
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }
}

fn same_start(one: u128, other: u128, bits: u32) -> bool {
    bits == 0 || (one ^ other) >> (128 - bits) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(network: &str, address: &str, want: bool) {
        let network = Network::parse(network).expect("a network");
        assert_eq!(network.has(address.parse().expect("an address")), want);
    }

    #[test]
    fn a_network_has_the_addresses_that_begin_like_it() {
        check("10.1.2.3", "10.1.2.3", true);
        check("10.1.2.3", "10.1.2.4", false);
        check("10.1.0.0/16", "10.1.255.4", true);
        check("10.1.0.0/16", "10.2.0.4", false);
        check("0.0.0.0/0", "192.0.2.1", true);
        check("10.1.2.3", "::ffff:10.1.2.3", true);
        check("fd00::/8", "fd12::1", true);
        check("fd00::/8", "fe80::1", false);
        check("0.0.0.0/0", "::1", false);
    }

    #[test]
    fn what_is_no_network_is_none() {
        for text in ["", "ct1", "10.1.2", "10.1.2.3/33", "10.1.2.3/", "10.1.2.3/-1"] {
            assert_eq!(Network::parse(text), None, "{text:?}");
        }
    }
}
