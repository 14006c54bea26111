//! Time, turns and deaths in a simulated world.

use super::*;

#[test]
fn time_passes_only_when_nothing_can_run() {
    let world = World::new(1);
    let seen = Arc::new(Mutex::new(Vec::new()));
    for seconds in [3, 1, 2] {
        let (here, seen) = (world.clone(), Arc::clone(&seen));
        world.spawn_on(OUTSIDE, async move {
            here.sleep(Duration::from_secs(seconds)).await;
            seen.lock().push(here.now().as_secs());
        });
    }
    world.run_for(Duration::from_secs(10));
    assert_eq!(*seen.lock(), [1, 2, 3]);
    assert_eq!(world.now(), Duration::from_secs(10));
}

#[test]
fn a_paused_node_does_nothing_and_a_killed_one_never_again() {
    let world = World::new(1);
    let ticks: Arc<Mutex<[u32; 3]>> = Arc::default();
    for node in 0..3u64 {
        let (here, ticks) = (world.clone(), Arc::clone(&ticks));
        world.spawn_on(node, async move {
            loop {
                here.sleep(Duration::from_millis(100)).await;
                ticks.lock()[node as usize] += 1;
            }
        });
    }
    world.run_for(Duration::from_millis(150));
    world.pause(1);
    world.kill(2);
    world.run_for(Duration::from_secs(1));
    assert_eq!(*ticks.lock(), [11, 1, 1]);
    world.resume(1);
    world.run_for(Duration::from_millis(10));
    assert_eq!(*ticks.lock(), [11, 2, 1]);
}
