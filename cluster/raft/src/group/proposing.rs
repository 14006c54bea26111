//! What a node does that wants something committed: it hands the proposal to its proposer again and again until that
//! is placed, and follows it until its outcome is known here.

use super::{Group, RETRY_PAUSE};
use crate::codec::Encode;
use crate::command::{Command, Outcome, Proposal, join};
use crate::core::Leadership;
use crate::errors::ProposeError;
use crate::proposer::{Claim, Item, Placing};
use crate::runtime::{Instant, Runtime};
use crate::transport::Placement;
use bytes::Bytes;
use futures_util::future::{Either, select};
use openraft::AsyncRuntime as _;
use std::pin::pin;
use std::sync::atomic::Ordering::Relaxed;
use tokio::sync::{mpsc, oneshot};

impl Group {
    /// Has a command committed and applied on this voter. Its outcome is what this voter's own state gave, so that a
    /// local read that follows sees it.
    ///
    /// # Errors
    /// All but [`ProposeError::Unknown`] mean that nothing was proposed.
    pub async fn propose(&self, command: Command) -> Result<Outcome, ProposeError> {
        self.accepts(&command)?;
        let mut expected = self.core.view.expect(self.serials.fetch_add(1, Relaxed));
        let proposal = Proposal { origin: expected.origin, command };
        self.follow(proposal, &mut expected.outcome).await
    }

    /// Whether a command of this kind may be proposed: whether all nodes can read it.
    ///
    /// # Errors
    /// [`ProposeError::MixedVersions`] if not.
    pub fn accepts(&self, command: &Command) -> Result<(), ProposeError> {
        command.check_version(self.look(|state| state.nodes().protocol()))
    }

    async fn follow(
        &self,
        proposal: Proposal,
        outcome: &mut oneshot::Receiver<Outcome>,
    ) -> Result<Outcome, ProposeError> {
        let config = &self.core.config;
        let bytes = proposal.to_bytes();
        if bytes.len() > config.proposal_bytes_max {
            return Err(ProposeError::TooLarge { bytes: bytes.len(), bytes_max: config.proposal_bytes_max });
        }
        // what no voter could read would end every one of them
        Proposal::from_bytes(&bytes)?;
        let proposals = join([bytes.as_slice()]);
        let deadline = Runtime::now() + config.propose_timeout;
        loop {
            self.core.gate.check().map_err(ProposeError::Unavailable)?;
            let leader = self.core.leader();
            let placing = self.enqueue(proposals.clone(), false)?;
            match self.fate(outcome, placing, leader, deadline).await {
                Some(fate) => return fate,
                None if Runtime::now() >= deadline => {
                    return Err(ProposeError::Unavailable("no leader takes it".to_owned()));
                }
                None => Runtime::sleep(RETRY_PAUSE).await,
            }
        }
    }

    fn enqueue(&self, proposals: Bytes, forwarded: bool) -> Result<Placing, ProposeError> {
        let (told, placed) = oneshot::channel();
        let claim = Claim::default();
        let item = Item { proposals, forwarded, claim: claim.clone(), placed: told };
        self.queue.try_send(item).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => ProposeError::Busy(self.core.config.queue_max),
            mpsc::error::TrySendError::Closed(_) => ProposeError::Unavailable("this voter stops".to_owned()),
        })?;
        Ok(Placing { claim, placed })
    }

    /// Waits for something until `deadline`, and no longer than a quorum is in sight. Else gives why it waits no more.
    pub(super) async fn wait<T>(
        &self,
        deadline: Instant,
        mut future: impl Future<Output = T> + Unpin + Send,
    ) -> Result<T, String> {
        loop {
            let until = deadline.min(self.core.gate.closes());
            if let Ok(output) = Runtime::timeout_at(until, &mut future).await {
                return Ok(output);
            }
            self.core.gate.check()?;
            if Runtime::now() >= deadline {
                return Err("the time is over".to_owned());
            }
        }
    }

    /// What became of a proposal; nothing if it was certainly not taken.
    async fn fate(
        &self,
        outcome: &mut oneshot::Receiver<Outcome>,
        Placing { claim, placed }: Placing,
        leader: Option<Leadership>,
        deadline: Instant,
    ) -> Option<Result<Outcome, ProposeError>> {
        let placement = match self.wait(deadline, select(&mut *outcome, placed)).await {
            Ok(Either::Left((outcome, _))) => return Some(outcome.map_err(|_| ProposeError::Unknown)),
            Ok(Either::Right((placement, _))) => placement.unwrap_or(Placement::Unknown),
            // no batch has it, and none will
            Err(reason) if claim.take() => return Some(Err(ProposeError::Unavailable(reason))),
            Err(_) => return Some(Err(ProposeError::Unknown)),
        };
        match placement {
            Placement::Refused => return None,
            Placement::Committed(index) => {
                // a snapshot may carry the state past it, and then its outcome is not known here
                let _ = self.wait(deadline, pin!(self.core.view.reach(index))).await;
                return Some(outcome.try_recv().map_err(|_| ProposeError::Unknown));
            }
            Placement::Unknown => {}
        }
        // what another leader took over of it stands before that one's first entry, or nowhere; what is on its way to a leader
        // may still be proposed after that
        let overtaken = async {
            let term = match leader {
                Some(leader) => self.core.superseded(leader).await,
                None => std::future::pending().await,
            };
            self.core.view.reach_term(term).await;
        };
        let late = match self.wait(deadline, select(outcome, pin!(overtaken))).await {
            Ok(Either::Left((outcome, _))) => outcome.ok(),
            Ok(Either::Right(_)) | Err(_) => None,
        };
        Some(late.ok_or(ProposeError::Unknown))
    }

    /// Has proposals of another voter committed, if this one leads.
    pub(crate) async fn propose_for(&self, proposals: Bytes) -> Placement {
        if self.core.gate.check().is_err() {
            return Placement::Refused;
        }
        let Ok(Placing { claim, placed }) = self.enqueue(proposals, true) else { return Placement::Refused };
        let deadline = Runtime::now() + self.core.config.propose_timeout;
        match self.wait(deadline, placed).await {
            Ok(placement) => placement.unwrap_or(Placement::Unknown),
            Err(_) if claim.take() => Placement::Refused,
            Err(_) => Placement::Unknown,
        }
    }
}
