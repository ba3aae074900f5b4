//! Networks and addresses, as OPA's `net.cidr_…` know them; what is neither is an error.

use regorus::Value;
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The most addresses of `net.cidr_expand`.
const MAX_ADDRESSES: u128 = 65_536;

/// Addresses in a row, both included, as numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Network {
    is_v6: bool,
    first: u128,
    last: u128,
}

impl Network {
    /// Reads `10.0.0.0/8`.
    fn parse(text: &str) -> Option<Network> {
        let (address, n_bits) = text.split_once('/')?;
        // Of `+8` and `08` nobody knows what they mean.
        let is_plain = n_bits.bytes().all(|it| it.is_ascii_digit()) && (n_bits == "0" || !n_bits.starts_with('0'));
        let n_bits: u32 = n_bits.parse().ok().filter(|_| is_plain)?;
        let Network { is_v6, first, .. } = Network::of(address)?;
        let n_free = if is_v6 { 128_u32 } else { 32 }.checked_sub(n_bits)?;
        let free = 1_u128.checked_shl(n_free).map_or(u128::MAX, |it| it - 1);
        Some(Network { is_v6, first: first & !free, last: first | free })
    }

    /// Reads an address.
    fn of(address: &str) -> Option<Network> {
        let (is_v6, number) = match address.parse().ok()? {
            IpAddr::V4(it) => (false, u128::from(u32::from(it))),
            IpAddr::V6(it) => (true, u128::from(it)),
        };
        Some(Network { is_v6, first: number, last: number })
    }

    fn contains(self, other: Network) -> bool {
        self.is_v6 == other.is_v6 && self.first <= other.first && other.last <= self.last
    }

    fn intersects(self, other: Network) -> bool {
        self.is_v6 == other.is_v6 && self.first <= other.last && other.first <= self.last
    }
}

/// `net.cidr_contains(cidr, cidr_or_address)`.
pub(super) fn contains(arguments: &[Value]) -> Result<Value, String> {
    let [network, other] = arguments else { return Err(wrong_number()) };
    Ok(Value::from(network_of(network)?.contains(network_or_address(other)?)))
}

/// `net.cidr_intersects(cidr, cidr)`.
pub(super) fn intersects(arguments: &[Value]) -> Result<Value, String> {
    let [network, other] = arguments else { return Err(wrong_number()) };
    Ok(Value::from(network_of(network)?.intersects(network_of(other)?)))
}

/// `net.cidr_is_valid(cidr)`.
pub(super) fn is_valid(arguments: &[Value]) -> Result<Value, String> {
    let text = arguments.first().and_then(|it| it.as_string().ok());
    Ok(Value::from(text.is_some_and(|it| Network::parse(it).is_some())))
}

/// `net.cidr_expand(cidr)`: the set of all addresses.
pub(super) fn expand(arguments: &[Value]) -> Result<Value, String> {
    let [network] = arguments else { return Err(wrong_number()) };
    let Network { is_v6, first, last } = network_of(network)?;
    if last - first >= MAX_ADDRESSES {
        return Err(format!("the network has more than {MAX_ADDRESSES} addresses"));
    }
    let address = |number: u128| match u32::try_from(number) {
        Ok(number) if !is_v6 => Ipv4Addr::from(number).to_string(),
        _ => Ipv6Addr::from(number).to_string(),
    };
    Ok(Value::from((first..=last).map(|it| Value::from(address(it))).collect::<BTreeSet<_>>()))
}

/// `net.cidr_contains_matches(cidrs, cidrs_or_addresses)`: the set of pairs of what is in what, each named by its index, its
/// key, or itself.
pub(super) fn contains_matches(arguments: &[Value]) -> Result<Value, String> {
    let [networks, others] = arguments else { return Err(wrong_number()) };
    let mut matches = BTreeSet::new();
    let others = named(others)?;
    for (network_name, network) in named(networks)? {
        let network = network_of(&network)?;
        for (name, other) in &others {
            if network.contains(network_or_address(other)?) {
                matches.insert(Value::from(vec![network_name.clone(), name.clone()]));
            }
        }
    }
    Ok(Value::from(matches))
}

/// Returns the texts in a text, list, set or map, with their names; of a list in it the first item counts.
fn named(value: &Value) -> Result<Vec<(Value, Value)>, String> {
    let all: Vec<(Value, Value)> = match value {
        Value::String(_) => return Ok(vec![(value.clone(), value.clone())]),
        Value::Array(it) => it.iter().enumerate().map(|(idx, it)| (Value::from(idx), it.clone())).collect(),
        Value::Set(it) => it.iter().map(|it| (it.clone(), it.clone())).collect(),
        Value::Object(it) => it.iter().map(|(key, it)| (key.clone(), it.clone())).collect(),
        _ => return Err("the arguments must be texts, lists, sets or objects".to_owned()),
    };
    let first = |it: Value| match &it {
        Value::Array(items) => items.first().cloned().unwrap_or(Value::Null),
        _ => it,
    };
    Ok(all.into_iter().map(|(name, it)| (name, first(it))).collect())
}

fn network_of(value: &Value) -> Result<Network, String> {
    let network = value.as_string().ok().and_then(|it| Network::parse(it));
    network.ok_or_else(|| format!("{value} is not a network such as \"10.0.0.0/8\""))
}

fn network_or_address(value: &Value) -> Result<Network, String> {
    let network = value.as_string().ok().and_then(|it| Network::parse(it).or_else(|| Network::of(it)));
    network.ok_or_else(|| format!("{value} is neither a network such as \"10.0.0.0/8\" nor an address"))
}

fn wrong_number() -> String {
    "the number of arguments is wrong".to_owned()
}
