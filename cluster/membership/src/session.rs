//! A node's own session: renewed with whoever leads, and fenced by the node itself when its lease runs out.
//!
//! Invariant: the lease is counted from when the renewal that was acknowledged last was sent, so that it runs out here
//! before anybody else may call the session over.

use crate::desk::{Life, Shared};
use crate::verdicts;
use arsenal_proto::internal::v1::membership_service_client::MembershipServiceClient;
use arsenal_proto::internal::v1::{RenewRequest, RenewResponse};
use arsenal_raft::{End, Group};
use parking_lot::Mutex;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};
use tonic::Status;
use tonic::transport::Channel;

/// After a renewal that did not succeed, the next try waits so long, if the pace is not faster anyway.
const RETRY_PAUSE: Duration = Duration::from_millis(100);

/// Until when a node's session holds.
#[derive(Debug, Default)]
pub(crate) struct Lease {
    until: Mutex<Option<Instant>>,
}

impl Lease {
    /// Whether it holds now.
    pub(crate) fn holds(&self) -> bool {
        self.until.lock().is_some_and(|until| Instant::now() < until)
    }

    fn extend(&self, until: Instant) {
        let mut current = self.until.lock();
        *current = (*current).max(Some(until));
    }

    /// Gives it up.
    pub(crate) fn end(&self) {
        *self.until.lock() = None;
    }
}

/// Who was asked last, and the way there.
type Connection = (Arc<str>, MembershipServiceClient<Channel>);

/// What a leader said that renewed a session.
struct Renewed {
    lease: Duration,
    /// Up to where it has applied what was agreed on.
    index: u64,
    /// Whether this node is sent the log, as of there.
    follows_log: bool,
}

/// Keeps a session.
pub(crate) struct Session {
    pub(crate) shared: Arc<Shared>,
    pub(crate) group: Group,
    pub(crate) life: Life,
    pub(crate) lease: Arc<Lease>,
    /// Renewed this often.
    pub(crate) every: Duration,
}

impl Session {
    /// Renews until this life is superseded, and ends the process then.
    pub(crate) async fn keep(self, end: End) {
        let opened = &self.shared.opened;
        let mut connection = None;
        let mut told = String::new();
        let mut failures = 0;
        loop {
            let sent = Instant::now();
            let pause = match timeout(self.every, self.renew(&mut connection, failures)).await {
                Ok(Ok(renewed)) => {
                    failures = 0;
                    self.lease.extend(sent + renewed.lease);
                    if !renewed.follows_log && self.group.stand_down(renewed.index).await {
                        tracing::info!("the log is not sent to this node any more: a voter feeds its view");
                    }
                    told.clear();
                    opened.send_if_modified(|opened| !std::mem::replace(opened, true));
                    self.every
                }
                Ok(Err(status)) if verdicts::is_over(&status) => {
                    self.lease.end();
                    return end(format!("this node cannot take part any more: {}", status.message()));
                }
                failed => {
                    failures += 1;
                    let reason = failed.map_or_else(|late| late.to_string(), |status| said(status.err()));
                    if reason != told {
                        // while nothing was open yet the voters are still choosing who leads
                        match *opened.borrow() {
                            true => tracing::warn!(reason, "the session with the voters is not renewed"),
                            false => tracing::info!(reason, "the session with the voters is not open yet"),
                        }
                        told = reason;
                    }
                    RETRY_PAUSE.min(self.every)
                }
            };
            sleep(pause.saturating_sub(sent.elapsed())).await;
        }
    }

    /// Where whoever leads may be: where it is known to be, and after so many failures in a row wherever a node or a voter
    /// is, from another one on each time. A node that was forgotten while it was away hears of no leader, and goes on to know
    /// the one that it heard last.
    fn addresses(&self, leader: Option<u64>, failures: usize) -> Vec<Arc<str>> {
        let known = leader.and_then(|leader| self.shared.address_of(&self.group, leader));
        if known.is_some() && failures == 0 {
            return known.into_iter().collect();
        }
        let mut others: BTreeSet<Arc<str>> = self.group.look(|state| {
            let nodes = state.nodes().nodes().values();
            nodes.map(|record| Arc::clone(&record.candidate.address)).collect()
        });
        others.extend(self.shared.contacts.lock().values().map(|address| address.as_str().into()));
        others.remove(&self.life.address);
        others.retain(|other| known.as_ref() != Some(other));
        let mut others: Vec<Arc<str>> = others.into_iter().collect();
        let start = failures.checked_rem(others.len()).unwrap_or_default();
        others.rotate_left(start);
        known.into_iter().chain(others).collect()
    }

    async fn renew(&self, connection: &mut Option<Connection>, failures: usize) -> Result<Renewed, Status> {
        let status = self.group.status();
        if status.leader == Some(status.id) {
            let lease = self.shared.renew(&self.life).await?;
            return Ok(Renewed { lease, index: 0, follows_log: true });
        }
        let mut failed = Status::unavailable("no leader is known");
        for (place, address) in self.addresses(status.leader, failures).into_iter().enumerate() {
            // one that does not answer must not have all the time of those that come after it
            let patience = match (failures, place) {
                (0, _) => self.every,
                (_, 0) => self.every / 2,
                _ => self.every / 4,
            };
            let asked = timeout(patience, self.renew_at(address, connection)).await;
            match asked.unwrap_or_else(|late| Err(Status::unavailable(late.to_string()))) {
                // who serves there now may be of another cluster
                Err(status) if !verdicts::is_over(&status) => failed = status,
                renewed => return renewed,
            }
        }
        Err(failed)
    }

    async fn renew_at(
        &self,
        address: Arc<str>,
        connection: &mut Option<Connection>,
    ) -> Result<Renewed, Status> {
        if connection.as_ref().is_none_or(|(known, _)| *known != address) {
            let channel = self.shared.dialer.channel(&address).map_err(Status::unavailable)?;
            *connection = Some((address, MembershipServiceClient::new(channel)));
        }
        let Some((_, client)) = connection else { return Err(Status::unavailable("no connection")) };
        let renewed = client.renew(RenewRequest {
            hello: Some(self.shared.introduction().hello()),
            node: self.life.node,
            incarnation: self.life.incarnation,
            life: self.life.drawn,
            address: self.life.address.to_string(),
            zone: self.life.zone.to_string(),
            abstains: self.life.manner.abstains,
        });
        let RenewResponse { lease_ms, index, follows_log } = renewed.await?.into_inner();
        let lease = Duration::from_millis(u64::from(lease_ms));
        // a leader that does not tell has no views
        Ok(Renewed { lease, index, follows_log: follows_log || index == 0 })
    }
}

fn said(status: Option<Status>) -> String {
    status.map(|status| status.message().to_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_lease_counts_from_when_its_renewal_was_sent() {
        let lease = Lease::default();
        assert!(!lease.holds(), "nothing was acknowledged yet");
        let sent = Instant::now();
        sleep(Duration::from_secs(2)).await;
        lease.extend(sent + Duration::from_secs(5));
        sleep(Duration::from_millis(2_900)).await;
        assert!(lease.holds());
        sleep(Duration::from_millis(200)).await;
        assert!(!lease.holds());
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_was_overtaken_shortens_nothing() {
        let lease = Lease::default();
        let now = Instant::now();
        lease.extend(now + Duration::from_secs(5));
        lease.extend(now + Duration::from_secs(4));
        sleep(Duration::from_millis(4_500)).await;
        assert!(lease.holds());
    }
}
