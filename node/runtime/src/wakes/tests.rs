use super::*;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::task::Wake;

/// Counts how often it is woken.
#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, SeqCst);
    }
}

impl Count {
    fn get(&self) -> usize {
        self.0.load(SeqCst)
    }
}

fn poll(gather: &mut Gather, count: &Arc<Count>) {
    let waker = Waker::from(Arc::clone(count));
    assert!(Pin::new(gather).poll(&mut Context::from_waker(&waker)).is_pending());
}

#[test]
fn the_gatherer_is_woken_once_for_all_that_queue_up_until_it_looks() {
    let (rings, woken) = (Arc::new(Count::default()), Arc::new(Count::default()));
    let mut gather = gather();
    poll(&mut gather, &rings);
    let queue = here().unwrap();
    for round in 1..=2 {
        for _ in 0..5 {
            queue.push(Waker::from(Arc::clone(&woken)));
        }
        assert_eq!((rings.get(), woken.get()), (round, (round - 1) * 5));
        poll(&mut gather, &rings);
        assert_eq!((rings.get(), woken.get()), (round, round * 5));
    }
}

#[test]
fn what_is_queued_when_the_gatherer_ends_and_what_comes_later_is_woken_all_the_same() {
    let (rings, woken) = (Arc::new(Count::default()), Arc::new(Count::default()));
    let mut gather = gather();
    poll(&mut gather, &rings);
    let queue = here().unwrap();
    queue.push(Waker::from(Arc::clone(&woken)));
    drop(gather);
    assert_eq!(woken.get(), 1);
    queue.push(Waker::from(Arc::clone(&woken)));
    assert_eq!(woken.get(), 2);
    assert!(here().is_none(), "the thread has no gatherer any more");
}

#[test]
fn an_older_gatherer_that_ends_leaves_the_younger_one_in_place() {
    let rings = Arc::new(Count::default());
    let (mut older, mut younger) = (gather(), gather());
    poll(&mut older, &rings);
    poll(&mut younger, &rings);
    drop(older);
    assert!(here().is_some_and(|queue| Arc::ptr_eq(&queue, &younger.queue)));
}
