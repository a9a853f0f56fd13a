//! Logins, written down together: of the successful ones from where, when, and that the wrong tries
//! before them no longer count; of the others their counts, as long as nothing is blocked by them.
//!
//! Nobody waits for these writes, so one transaction a second serves them all. If a crash loses the
//! last second, the same person's next login makes up for it, and whoever guesses has two more
//! tries.

use std::sync::Arc;
use std::time::Duration;

use whoelse_store::{Error, Tx};
use whoelse_stream::sasl2::UserAgentId;

use crate::account::Account;
use crate::keeper::{PIECE, Touches};
use crate::known_networks::KNOWN_NETWORK;
use crate::login_throttle::stored::Scope;
use crate::network::Network;
use crate::node::Node;
use crate::recent_logins::{RecentLogin, Waiting};

/// How long a login waits for others to be written with it.
const WAIT: Duration = Duration::from_secs(1);
/// The most that wait, logins and counts of failed ones; when reached, they are written at once.
const MOST: usize = 1_000;
/// The most logins that are written in one commit, and counts of failed ones.
const TOGETHER: usize = PIECE as usize / RecentLogin::ROWS;

impl Node {
    /// Returns a login of this moment. `forgiven` are the counts that wrong tries before it may have
    /// left in the store; `device`, what the client has told of itself.
    pub(super) fn recent_login(
        &self,
        account: &Arc<Account>,
        network: Network,
        forgiven: Vec<Scope>,
        device: Option<UserAgentId>,
    ) -> RecentLogin {
        RecentLogin { account: account.clone(), network, at: self.clock.now(), forgiven, device }
    }

    /// Notes a login, to be written down with others.
    pub(super) fn arrived(self: &Arc<Node>, login: RecentLogin) {
        self.note_arrival(&login);
        self.write_soon(|waiting| waiting.logins.push(login));
    }

    /// Notes a login that is written down already.
    pub(super) fn note_arrival(&self, login: &RecentLogin) {
        login.account.note_active(login.at);
        let until = self.clock.steady().after(KNOWN_NETWORK);
        self.known_networks.note(login.account.id, login.network, until);
    }

    /// Notes that failed logins have changed these counts.
    pub(super) fn failed(self: &Arc<Node>, counts: Vec<Scope>) {
        self.write_soon(|waiting| waiting.failed.extend(counts));
    }

    fn write_soon(self: &Arc<Node>, add: impl FnOnce(&mut Waiting)) {
        let (before, waiting) = self.recent_logins.add(add);
        let (is_first, is_full) = (before == 0 && waiting > 0, before < MOST && waiting >= MOST);
        if is_first || is_full {
            let node = self.clone();
            tokio::spawn(async move {
                if !is_full {
                    node.clock.sleep(WAIT).await;
                }
                node.write_arrivals().await;
            });
        }
    }

    /// Writes down the waiting logins.
    pub(crate) async fn write_arrivals(self: &Arc<Node>) {
        let _one = self.recent_logins.writing.lock().await;
        loop {
            let waiting = self.recent_logins.take(TOGETHER);
            if waiting.len() == 0 {
                return;
            }
            self.write(waiting).await;
        }
    }

    async fn write(self: &Arc<Node>, waiting: Waiting) {
        let Waiting { logins, failed } = waiting;
        let rows = Touches::AtMost((RecentLogin::ROWS * logins.len() + failed.len()) as u64);
        let node = self.clone();
        let written = self.keeper.change(rows, move |tx| {
            Box::pin(async move {
                for login in &logins {
                    login.write(&node, tx).await?;
                }
                node.write_counts(tx, &failed.into_iter().collect::<Vec<_>>()).await?;
                Ok(((), Vec::new()))
            })
        });
        match written.await {
            Ok(()) => {}
            // Not after the server has stopped: it writes the waiting logins before it stops.
            Err(error) => self.store_failing("logins_not_written", None, &error),
        }
    }
}

impl RecentLogin {
    /// The most rows that are written of one: its counts, its network, its device, its account.
    pub(super) const ROWS: usize = 5;

    pub(super) async fn write(&self, node: &Node, tx: &mut Tx) -> Result<(), Error> {
        // The account's rows are gone; the other logins must not fail because of it.
        if self.account.is_removed() {
            return Ok(());
        }
        node.write_counts(tx, &self.forgiven).await?;
        // Read in the keeper's turn: even time jumps ahead when a doubt of the clock ends, so a
        // value read earlier would be old.
        let now = node.even_time();
        tx.remember_place(self.account.id, &self.network.to_string(), now.0).await?;
        if let Some(device) = self.device {
            tx.use_device(self.account.id, &device.to_string(), (self.at.0, now.0)).await?;
        }
        tx.touch_account(self.account.id, self.at.0).await
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use whoelse_store::{Heartbeat, Location, Store};
    use whoelse_stream::secret::Password;
    use whoelse_xmpp::BareJid;

    use super::*;
    use crate::clock::Clock;
    use crate::keeper::tests::busy;
    use crate::settings::Settings;
    use crate::trust::{EARLIEST, Voucher};

    #[tokio::test]
    async fn a_network_is_known_for_thirty_days_over_a_restart_and_without_one() {
        let store = Store::open(&Location::Memory).await.unwrap();
        let clock = Clock::manual(EARLIEST);
        let start = async || {
            let (clock, store, domain) = (clock.clone(), store.clone(), Some("a.example"));
            Node::start(Settings::default(), clock, store, &[], domain).await.unwrap()
        };
        let pass = |days: u32| {
            let until = clock.steady().after(Duration::from_secs(86_400) * days);
            while clock.advance_to(until) {}
        };
        let node = start().await;
        node.vouch_for_clock(Voucher::Operator).await.unwrap();
        let alice = BareJid::parse("alice@a.example").unwrap();
        node.create_account(&alice, Password::new("a long secret").unwrap()).await.unwrap();
        let alice = node.account(&alice).await.unwrap().unwrap();
        let network = Network::of("192.0.2.1".parse().unwrap());
        assert!(!node.is_known_network(network));

        node.arrived(node.recent_login(&alice, network, Vec::new(), None));
        assert!(node.is_known_network(network));
        node.write_arrivals().await;
        node.stop().await;
        drop(node);
        pass(20);
        let node = start().await;

        assert!(node.is_known_network(network));
        pass(9);
        assert!(node.is_known_network(network));
        pass(2);
        assert!(!node.is_known_network(network));
        node.stop().await;
    }

    #[tokio::test]
    async fn a_network_is_known_for_an_account_while_its_login_is_being_written() {
        let store = Store::open(&Location::Memory).await.unwrap();
        let (clock, domain) = (Clock::manual(EARLIEST), Some("a.example"));
        let node = Node::start(Settings::default(), clock, store, &[], domain).await.unwrap();
        let alice = BareJid::parse("alice@a.example").unwrap();
        node.create_account(&alice, Password::new("a long secret").unwrap()).await.unwrap();
        let account = node.account(&alice).await.unwrap().unwrap();
        let [here, elsewhere] =
            ["192.0.2.1", "192.0.2.2"].map(|ip| Network::of(ip.parse().unwrap()));

        node.arrived(node.recent_login(&account, here, Vec::new(), None));
        // Neither does it wait any more, nor is it stored.
        drop(node.recent_logins.take(9));

        assert!(node.is_known_for(&alice, here).await.unwrap());
        assert!(!node.is_known_for(&alice, elsewhere).await.unwrap());
        node.stop().await;
    }

    #[tokio::test]
    async fn however_many_log_in_while_the_lane_is_held_up_one_bounded_write_stands_before_it() {
        let store = Store::open(&Location::Memory).await.unwrap();
        let (clock, domain) = (Clock::manual(EARLIEST), Some("a.example"));
        let node = Node::start(Settings::default(), clock, store, &[], domain).await.unwrap();
        let alice = BareJid::parse("alice@a.example").unwrap();
        node.create_account(&alice, Password::new("a long secret").unwrap()).await.unwrap();
        let alice = node.account(&alice).await.unwrap().unwrap();
        let go = busy(&node).await;

        let many = 3 * MOST as u32;
        for n in 0..many {
            let network = Network::of(std::net::Ipv4Addr::from_bits(0xc000_0200 + n).into());
            node.arrived(node.recent_login(&alice, network, Vec::new(), None));
            if n % 100 == 0 {
                tokio::task::yield_now().await;
            }
        }
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        // The change that holds the lane, and one of these.
        assert_eq!(node.keeper.waiting(), 2);
        go.send(()).unwrap();
        node.write_arrivals().await;

        let known = node.store.known_networks_since(alice.id, 0).await.unwrap();
        assert_eq!(known.len(), many as usize);
        node.stop().await;
    }

    #[tokio::test]
    async fn a_login_before_a_doubt_of_the_clock_ends_is_not_old_when_it_has_ended() {
        let store = Store::open(&Location::Memory).await.unwrap();
        let mut tx = store.begin().await.unwrap();
        let beat = Heartbeat { wall: EARLIEST.0, even: EARLIEST.0, doubt: None };
        tx.heartbeat(&beat).await.unwrap();
        tx.commit().await.unwrap();
        let clock = Clock::manual(EARLIEST);
        clock.set_wall(EARLIEST.after(Duration::from_secs(400 * 86_400)));
        let domain = Some("a.example");
        let node = Node::start(Settings::default(), clock, store, &[], domain).await.unwrap();
        let alice = BareJid::parse("alice@a.example").unwrap();
        node.create_account(&alice, Password::new("a long secret").unwrap()).await.unwrap();
        let alice = node.account(&alice).await.unwrap().unwrap();
        let network = Network::of("192.0.2.1".parse().unwrap());

        node.arrived(node.recent_login(&alice, network, Vec::new(), None));
        assert!(node.vouch_for_clock(Voucher::Operator).await.unwrap());
        node.write_arrivals().await;

        let places = node.store.known_networks_since(alice.id, node.even_time().0).await.unwrap();
        assert_eq!(places, [network.to_string()]);
        node.stop().await;
    }
}
