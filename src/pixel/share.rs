//! Work on many items by several threads, each with a scratch of its own.
use std::sync::Mutex;

/// Calls `work` once for each item, in any order, on `threads` threads (at least 1); returns when all are done.
///
/// `scratch` makes what a thread keeps from item to item, such as a buffer. Items are handed out in order.
pub(super) fn share<Item: Send, Scratch>(
    items: impl Iterator<Item = Item> + Send,
    threads: usize,
    scratch: impl Fn() -> Scratch + Sync,
    work: impl Fn(&mut Scratch, Item) + Sync,
) {
    let items = Mutex::new(items);
    let run = || {
        let mut own = scratch();
        // A poisoned lock means that `work` panicked elsewhere; the scope passes that on.
        while let Some(item) = items.lock().ok().and_then(|mut items| items.next()) {
            work(&mut own, item);
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..threads {
            scope.spawn(run);
        }
        run();
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_item_is_worked_on_once_whatever_the_threads() {
        for threads in [0, 1, 2, 7] {
            let mut seen = vec![0u32; 1000];
            share(seen.iter_mut(), threads, || 1, |one, item| *item += *one);
            assert!(seen.iter().all(|count| *count == 1), "{threads} threads");
        }
    }
}
