//! The peers of a job: what was granted, and the addresses of its names.
//!
//! Names are looked up when a task first uses the network, once per job, and keep these addresses:
//! what the owner of a name publishes later opens nothing else.

use super::lookup;
use crate::grants::{NetGrant, NetHost};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::SetOnce;

/// The peers of a job.
#[derive(Debug, Default)]
#[doc(hidden)]
pub struct Peers {
    /// By address, or by the index of its name, and by port.
    granted: Vec<(Host, Option<u16>)>,
    names: Vec<Name>,
    /// Whether the look-up of the names has begun.
    begun: AtomicBool,
}

#[derive(Debug)]
enum Host {
    Address(IpAddr),
    Name(usize),
}

#[derive(Debug)]
struct Name {
    name: String,
    /// Its addresses; none if it has none that may be used.
    addresses: SetOnce<Vec<IpAddr>>,
}

impl Peers {
    #[doc(hidden)]
    pub fn new(grants: &[NetGrant]) -> Self {
        let mut names: Vec<Name> = Vec::new();
        let granted = grants
            .iter()
            .map(|grant| {
                let host = match &grant.host {
                    NetHost::Address(address) => Host::Address(address.to_canonical()),
                    NetHost::Name(name) => {
                        let known = names.iter().position(|one| one.name == *name);
                        Host::Name(known.unwrap_or_else(|| {
                            names.push(Name {
                                name: name.clone(),
                                addresses: SetOnce::new(),
                            });
                            names.len() - 1
                        }))
                    }
                };
                (host, grant.port)
            })
            .collect();
        Self {
            granted,
            names,
            begun: AtomicBool::new(false),
        }
    }

    /// Those of a process that looks up no names: their addresses are given.
    #[must_use]
    pub fn given(grants: &[NetGrant], names: Vec<(String, Vec<IpAddr>)>) -> Self {
        let peers = Self::new(grants);
        for (name, addresses) in names {
            if let Some(place) = peers.place(&name) {
                peers.answer(place, addresses);
            }
        }
        for place in 0..peers.names.len() {
            if peers.known(place).is_none() {
                peers.answer(place, []);
            }
        }
        peers.begun.store(true, Ordering::Relaxed);
        peers
    }

    /// Looks up the names, unless they are, and waits until all have their addresses.
    pub async fn looked_up(self: &Arc<Self>) {
        for place in 0..self.names.len() {
            self.addresses(place).await;
        }
    }

    /// Whether all names have their addresses.
    #[must_use]
    pub fn are_known(&self) -> bool {
        self.names.iter().all(|name| name.addresses.initialized())
    }

    /// Returns the names with their addresses, as far as they are known.
    #[must_use]
    pub fn known_names(&self) -> Vec<(String, Vec<IpAddr>)> {
        let known = self.names.iter().map(|one| {
            let addresses = one.addresses.get().cloned().unwrap_or_default();
            (one.name.clone(), addresses)
        });
        known.collect()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.granted.is_empty()
    }

    /// Whether the peer may be reached. Waits for the names unless it is granted by its address.
    pub(super) async fn allow(self: &Arc<Self>, peer: SocketAddr) -> bool {
        // An IPv4 address mapped to IPv6 is the same peer.
        let address = peer.ip().to_canonical();
        let of_port = || {
            let is_of_port = |port: &Option<u16>| port.is_none_or(|port| port == peer.port());
            self.granted
                .iter()
                .filter(move |(_, port)| is_of_port(port))
        };
        if of_port().any(|(host, _)| matches!(host, Host::Address(one) if *one == address)) {
            return true;
        }
        for (host, _) in of_port() {
            if let Host::Name(place) = host
                && self.addresses(*place).await.contains(&address)
            {
                return true;
            }
        }
        false
    }

    /// Returns the index of a name among those that are granted, at any port.
    pub(super) fn place(&self, name: &str) -> Option<usize> {
        self.names.iter().position(|one| one.name == name)
    }

    /// Returns the index of a name that is granted at this port.
    pub(super) fn place_at(&self, name: &str, port: u16) -> Option<usize> {
        let place = self.place(name)?;
        let mut granted = self.granted.iter();
        let is_granted = granted.any(|(host, of)| {
            matches!(host, Host::Name(one) if *one == place) && of.is_none_or(|of| of == port)
        });
        is_granted.then_some(place)
    }

    /// Returns the addresses of the name with this index, once they are known.
    pub(super) async fn addresses(self: &Arc<Self>, place: usize) -> &[IpAddr] {
        self.ask();
        self.names[place].addresses.wait().await
    }

    /// Starts the look-up of the names, unless it has begun.
    pub(super) fn ask(self: &Arc<Self>) {
        if !self.begun.swap(true, Ordering::Relaxed) {
            for place in 0..self.names.len() {
                lookup::ask(self, place);
            }
        }
    }

    /// Does the same, if they are known already.
    pub(super) fn known(&self, place: usize) -> Option<&[IpAddr]> {
        self.names[place].addresses.get().map(Vec::as_slice)
    }

    pub(super) fn name(&self, place: usize) -> &str {
        &self.names[place].name
    }

    /// Sets the system's answer for the name with this index.
    pub(super) fn answer(&self, place: usize, found: impl IntoIterator<Item = IpAddr>) {
        let mut addresses: Vec<IpAddr> = Vec::new();
        for address in found {
            let address = address.to_canonical();
            if is_for_names(address) && !addresses.contains(&address) {
                addresses.push(address);
            }
        }
        // Each is looked up once, so this is the first answer.
        let _ = self.names[place].addresses.set(addresses);
    }
}

/// Services of cloud providers that hand out a machine's credentials and stand at addresses that are not link-local.
const METADATA: [IpAddr; 6] = [
    // Google, Oracle and Scaleway, in IPv6.
    IpAddr::V6(Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xc1, 0, 0, 0, 0, 0xa9fe, 0xa9fe)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0x42, 0, 0, 0, 0, 0, 0x42)),
    // Oracle, Alibaba and Azure.
    IpAddr::V4(Ipv4Addr::new(192, 0, 0, 192)),
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
];

/// The first 32 bits of addresses that Amazon gives to such services in IPv6: metadata, credentials of containers
/// (EKS Pod Identity), and whatever comes.
const AMAZON: [u16; 2] = [0xfd00, 0x0ec2];

/// Whether a name may stand for the address. Addresses close to the machine, above all the metadata
/// service of cloud providers, can only be granted by address: the owner of a name must not be able
/// to open them.
fn is_for_names(address: IpAddr) -> bool {
    let is_local = match address {
        IpAddr::V4(address) => address.is_link_local() || address.is_broadcast(),
        IpAddr::V6(address) => {
            address.is_unicast_link_local() || address.segments().starts_with(&AMAZON)
        }
    };
    if is_local || address.is_unspecified() || address.is_multicast() || METADATA.contains(&address)
    {
        return false;
    }
    match address {
        IpAddr::V4(_) => true,
        // A translator on the way opens the address that is inside.
        IpAddr::V6(address) => embedded(address)
            .into_iter()
            .flatten()
            .all(|inside| is_for_names(IpAddr::V4(inside))),
    }
}

/// The IPv4 addresses that an IPv6 address may stand for, by the forms of RFC 4291, 6052, 8215, 7915, 3056, 4380 and 5214. The
/// loopback address `::1` is none of them.
fn embedded(address: Ipv6Addr) -> [Option<Ipv4Addr>; 3] {
    let part = address.segments();
    let of = |high: u16, low: u16| Ipv4Addr::from(u32::from(high) << 16 | u32::from(low));
    let last = of(part[6], part[7]);
    // ISATAP, behind any prefix, that of another form included.
    let isatap = matches!(part[4..6], [0 | 0x200, 0x5efe]).then_some(last);
    let one = match part {
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => None,
        // Compatible and mapped; translated without and with a prefix.
        [0, 0, 0, 0, 0, 0 | 0xffff, _, _]
        | [0, 0, 0, 0, 0xffff, 0, _, _]
        | [0x64, 0xff9b, 0, 0, 0, 0, _, _] => Some(last),
        // A prefix for local use, whose length is anyone's choice: as the address stands with 96 bits, and with 48, where an
        // octet of zeros cuts it.
        [0x64, 0xff9b, 1, ..] => {
            let cut = of(part[3], (part[4] & 0xff) << 8 | part[5] >> 8);
            return [Some(last), Some(cut), isatap];
        }
        // 6to4, and Teredo: server, and client with its bits inverted.
        [0x2002, high, low, ..] => Some(of(high, low)),
        [0x2001, 0, high, low, ..] => {
            return [Some(of(high, low)), Some(of(!part[6], !part[7])), isatap];
        }
        _ => None,
    };
    [one, isatap, None]
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    fn peers(grants: &[&str]) -> Arc<Peers> {
        let grants: Vec<NetGrant> = grants
            .iter()
            .map(|grant| grant.parse().expect(grant))
            .collect();
        let peers = Peers::new(&grants);
        // Nobody is asked.
        peers.begun.store(true, Ordering::Relaxed);
        Arc::new(peers)
    }

    /// None while it waits for a name.
    fn allows(peers: &Arc<Peers>, peer: &str) -> Option<bool> {
        let allow = pin!(peers.allow(peer.parse().expect(peer)));
        match allow.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(allowed) => Some(allowed),
            Poll::Pending => None,
        }
    }

    #[test]
    fn addresses_are_allowed_with_their_ports_alone() {
        let peers = peers(&[
            "10.0.0.1:80",
            "10.0.0.2:*",
            "[::1]:81",
            "[::ffff:10.0.0.3]:82",
        ]);
        for (peer, wanted) in [
            ("10.0.0.1:80", true),
            ("10.0.0.1:81", false),
            ("10.0.0.2:1", true),
            ("10.0.0.2:65535", true),
            ("10.0.0.4:80", false),
            ("[::1]:81", true),
            ("[::1]:80", false),
            ("127.0.0.1:81", false),
            // The same peers in other clothes.
            ("[::ffff:10.0.0.1]:80", true),
            ("[::ffff:10.0.0.4]:80", false),
            ("10.0.0.3:82", true),
            // Ways to say an address of IPv4 that are other peers.
            ("[::10.0.0.1]:80", false),
            ("[64:ff9b::10.0.0.1]:80", false),
        ] {
            assert_eq!(allows(&peers, peer), Some(wanted), "{peer}");
        }
        assert_eq!(
            allows(&Arc::new(Peers::default()), "10.0.0.1:80"),
            Some(false)
        );
    }

    #[test]
    fn a_name_stands_for_the_addresses_it_had_at_first() {
        let peers = peers(&["db.example:5432", "10.0.0.9:5432", "db.example:1"]);
        assert_eq!(allows(&peers, "10.0.0.9:5432"), Some(true));
        assert_eq!(allows(&peers, "10.0.0.1:80"), Some(false));
        assert_eq!(allows(&peers, "10.0.0.1:5432"), None);
        let [first, later] = ["10.0.0.1", "10.0.0.2"].map(|text| text.parse().expect(text));
        peers.answer(0, [first]);
        peers.answer(0, [later]);
        assert_eq!(allows(&peers, "10.0.0.1:5432"), Some(true));
        assert_eq!(allows(&peers, "10.0.0.1:1"), Some(true));
        assert_eq!(allows(&peers, "10.0.0.2:5432"), Some(false));
        assert_eq!(peers.known(0), Some(&[first][..]));
    }

    #[test]
    fn a_name_is_granted_with_its_port() {
        let peers = peers(&["db.example:5432", "10.0.0.9:80", "any.example:*"]);
        assert_eq!(peers.place_at("db.example", 5432), Some(0));
        assert_eq!(peers.place_at("any.example", 80), Some(1));
        assert_eq!(peers.place_at("db.example", 80), None);
        assert_eq!(peers.place_at("other.example", 5432), None);
    }

    #[test]
    fn a_name_opens_nothing_that_is_near_the_machine() {
        let peers = peers(&["sly.example:80"]);
        let found = [
            "169.254.169.254",
            "0.0.0.0",
            "255.255.255.255",
            "224.0.0.1",
            "fe80::1",
            "::",
            "ff02::1",
            "::ffff:169.254.169.254",
            // The same in other clothes: compatible, translated, NAT64 with both prefixes, 6to4, Teredo.
            "::169.254.169.254",
            "::ffff:0:169.254.169.254",
            "64:ff9b::169.254.169.254",
            "64:ff9b:1::169.254.169.254",
            "64:ff9b:1:a9fe:a9:fe00::",
            "2002:a9fe:a9fe::1",
            "2001:0:c000:201::5601:5601",
            // Where clouds have it otherwise.
            "fd00:ec2::254",
            "fd00:ec2::23",
            "fd00:ec2:ffff::1",
            "fd00:42::42",
            "fd20:ce::254",
            "fd00:c1::a9fe:a9fe",
            "100.100.100.200",
            "168.63.129.16",
            "192.0.0.192",
            "64:ff9b::100.100.100.200",
            // ISATAP, whether the address inside is unique or not, and behind the prefix of another form.
            "2001:db8::5efe:169.254.169.254",
            "2001:db8::200:5efe:169.254.0.1",
            "fd00::5efe:100.100.100.200",
            "2002:c000:201::5efe:169.254.169.254",
            "192.0.2.1",
            "2001:db8::1",
            "64:ff9b::192.0.2.1",
            "::1",
            "2001:db8::5efe:192.0.2.1",
            "fd00:ec3::254",
        ];
        peers.answer(0, found.map(|text| text.parse().expect(text)));
        let kept = [
            "192.0.2.1",
            "2001:db8::1",
            "64:ff9b::192.0.2.1",
            "::1",
            "2001:db8::5efe:192.0.2.1",
            "fd00:ec3::254",
        ];
        let kept = kept.map(|text| text.parse::<IpAddr>().expect(text));
        assert_eq!(peers.known(0), Some(&kept[..]));
        assert_eq!(allows(&peers, "169.254.169.254:80"), Some(false));
        // By its address it can be granted.
        let granted = self::peers(&["169.254.169.254:80"]);
        assert_eq!(allows(&granted, "169.254.169.254:80"), Some(true));
    }
}
