//! How long there is a link to a node.

use super::*;
use crate::memory::MemoryNetwork;
use crate::network::LINE_FRAMES;
use arsenal_runtime::{NodeConfig, Pid, Term};
use futures_util::stream;
use std::time::Duration;

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// With links that take nobody for dead because the machine stood still for a moment.
fn calm() -> LinkConfig {
    let (dial_timeout, silence_max) = (Duration::from_secs(10), PATIENCE);
    LinkConfig { dial_timeout, silence_max, resume_timeout: PATIENCE, ..LinkConfig::default() }
}

fn pair(config: &LinkConfig) -> ([Node; 2], [Links; 2], MemoryNetwork) {
    let network = MemoryNetwork::default();
    let nodes =
        [1, 2].map(|id| Node::start(NodeConfig { id, schedulers: 1, ..NodeConfig::default() }).unwrap());
    let links = nodes.each_ref().map(|node| {
        let links = Links::start(node, config.clone(), network.of(node.id()), Handle::current());
        network.join(node.id(), links.clone());
        links
    });
    (nodes, links, network)
}

fn linked(links: &Links) -> Vec<u32> {
    links.0.peers.read().keys().copied().collect()
}

async fn until_gone(links: &Links) {
    let gone = async {
        while !linked(links).is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, gone).await.expect("the link is taken out");
}

#[tokio::test]
async fn a_link_goes_with_the_place_of_its_node_in_the_cluster_and_not_with_its_session() {
    let (nodes, links, network) = pair(&calm());
    let nobody = Pid::new(2, nodes[1].incarnation(), 77);
    assert!(nodes[0].call(nobody, Term::OK, Some(PATIENCE), 0).await.is_err(), "there is no such process");
    links[0].node_down(2, nodes[1].incarnation()).await;
    links[0].node_removed(2);
    assert!(nodes[0].call(nobody, Term::OK, Some(PATIENCE), 0).await.is_err());
    assert_eq!((linked(&links[0]), linked(&links[1])), (vec![2], vec![1]), "both are known still");

    network.remove(2);
    links[0].node_down(2, nodes[1].incarnation()).await;
    links[0].node_removed(2);
    until_gone(&links[0]).await;
    assert!(nodes[0].call(nobody, Term::OK, Some(PATIENCE), 0).await.is_err());
    assert_eq!(linked(&links[0]), [0; 0], "nothing is begun for who is not there");
    nodes.iter().for_each(Node::close);
}

#[tokio::test]
async fn a_line_of_a_node_that_is_not_known_here_begins_no_link() {
    let config = LinkConfig { dial_timeout: Duration::from_millis(50), ..LinkConfig::default() };
    let (nodes, links, _) = pair(&config);
    let stranger = Life { node: 9, incarnation: 1 };
    let greeting = Head::DataLine { from: stranger, session: 1, attempt: 1 }.alone();
    let (sender, mut answers) = mpsc::channel(LINE_FRAMES);
    let frames = Box::pin(stream::iter([greeting]).chain(stream::pending()));
    links[0].accept(Connection { sender, frames });
    let answer = tokio::time::timeout(PATIENCE, answers.recv()).await.expect("the line is closed");
    assert!(answer.is_none());
    assert_eq!(linked(&links[0]), [0; 0]);
    nodes.iter().for_each(Node::close);
}
