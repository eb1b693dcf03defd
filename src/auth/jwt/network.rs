//! Networks in CIDR notation: may an address connect? Owns parsing and containment.

use std::net::IpAddr;

/// A network: its first address and how many bits of it count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Network {
    address: IpAddr,
    bits: u8,
}

/// Reads `10.0.0.0/8`, `::1/128`; `None` for anything else. Bits of the host are passed over.
pub(super) fn parse(text: &str) -> Option<Network> {
    let (address, bits) = text.split_once('/')?;
    let address: IpAddr = address.parse().ok()?;
    if !bits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let bits: u8 = bits.parse().ok()?;
    let width = if address.is_ipv4() { 32 } else { 128 };
    if bits > width {
        return None;
    }
    // A network within IPv4 that is written as IPv6 is one of IPv4.
    Some(match (address, address.to_canonical()) {
        (IpAddr::V6(_), mapped @ IpAddr::V4(_)) if bits >= MAPPED_BITS => Network {
            address: mapped,
            bits: bits - MAPPED_BITS,
        },
        _ => Network { address, bits },
    })
}

/// Bits before the address of IPv4 in one of IPv6 (`::ffff:0:0/96`).
const MAPPED_BITS: u8 = 96;

impl Network {
    /// Whether it holds an address; one of IPv4 that is written as IPv6 counts as IPv4.
    pub(super) fn contains(self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                let differ = own.to_bits() ^ other.to_bits();
                differ.checked_shr(32 - u32::from(self.bits)).unwrap_or(0) == 0
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                let differ = own.to_bits() ^ other.to_bits();
                differ.checked_shr(128 - u32::from(self.bits)).unwrap_or(0) == 0
            }
            _ => false,
        }
    }
}
