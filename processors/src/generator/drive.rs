//! Sends what is due to whoever answers each item. Only I/O: the clock is read here.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use tokio::sync::{Semaphore, watch};
use tokio::time::MissedTickBehavior;

use super::settings::Plan;
use super::stats::{Sent, Stats};
use super::workload::Item;
use crate::pod::phase::Learned;

const TICK: Duration = Duration::from_millis(2);
/// What was due within the time is sent so long after it.
const GRACE: Duration = Duration::from_millis(20);
/// For the answers that are still on their way at the end.
const END_TIMEOUT: Duration = Duration::from_secs(30);

/// Takes items in and answers each.
pub trait Sink: Send + Sync + 'static {
    /// Sends one.
    fn send(&self, item: Item) -> BoxFuture<'_, Sent>;
}

/// Whether items may be sent now.
pub type Open = Arc<dyn Fn() -> bool + Send + Sync>;

/// Whether the pipeline takes payments in, as far as its phase is known.
pub fn while_intake_is_open(phase: watch::Receiver<Option<Learned>>) -> Open {
    Arc::new(move || phase.borrow().is_some_and(|learned| learned.intake_open()))
}

/// How it is sent.
pub struct Drive {
    /// Who takes it.
    pub sink: Arc<dyn Sink>,
    /// Where it is counted.
    pub stats: Arc<Stats>,
    /// So many at a time; what is due meanwhile waits.
    pub concurrency: u32,
    /// While false nothing becomes due.
    pub open: Open,
    /// Ends it.
    pub stop: watch::Receiver<bool>,
}

impl Drive {
    /// Opens the accounts if the plan says so, then sends payments until the plan or `stop` ends it.
    pub async fn run(mut self, plan: &Arc<Plan>) {
        let slots = Arc::new(Semaphore::new(usize::try_from(self.concurrency).unwrap_or(1)));
        if let Some(funding) = plan.funding_minor {
            for number in 0..plan.workload.accounts() {
                let opening = plan.workload.opening(number, funding);
                if !self.spawn(&slots, move || opening.ok().map(Item::Intake)).await {
                    break;
                }
            }
        }
        // Payments of accounts that are not there yet would be rejected.
        self.settle(&slots).await;
        self.pay(plan, &slots).await;
        self.settle(&slots).await;
    }

    async fn pay(&mut self, plan: &Arc<Plan>, slots: &Arc<Semaphore>) {
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let end = plan.duration.unwrap_or(Duration::MAX);
        let (mut number, mut active, mut last) = (0, Duration::ZERO, Instant::now());
        while number < plan.count && active < end {
            tokio::select! {
                _ = ticks.tick() => {}
                _ = self.stop.wait_for(|stop| *stop) => return,
            }
            let (now, before) = (Instant::now(), last);
            last = now;
            if !(self.open)() {
                continue;
            }
            active = (active + (now - before)).min(end);
            let due = plan.due_by(active);
            while number < due {
                let (of, at) = (Arc::clone(plan), number);
                if !self.spawn(slots, move || of.workload.item(at).ok()).await {
                    return;
                }
                number += 1;
                // A sink that is too slow does not prolong the run.
                if active.saturating_add(last.elapsed()) > end.saturating_add(GRACE) {
                    return;
                }
            }
        }
    }

    /// False when it was told to stop instead.
    async fn spawn(
        &mut self,
        slots: &Arc<Semaphore>,
        make: impl FnOnce() -> Option<Item> + Send + 'static,
    ) -> bool {
        let slot = tokio::select! {
            biased;
            _ = self.stop.wait_for(|stop| *stop) => return false,
            slot = Arc::clone(slots).acquire_owned() => slot,
        };
        let (sink, stats) = (Arc::clone(&self.sink), Arc::clone(&self.stats));
        tokio::spawn(async move {
            if let Some(item) = make() {
                let begun = Instant::now();
                let sent = sink.send(item).await;
                stats.record(sent, begun.elapsed());
            }
            drop(slot);
        });
        true
    }

    /// Waits for the answers that are on their way.
    async fn settle(&self, slots: &Arc<Semaphore>) {
        // An error is the time-out: what is left is not counted.
        let _ = tokio::time::timeout(END_TIMEOUT, slots.acquire_many(self.concurrency)).await;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

    use futures::FutureExt;
    use parking_lot::Mutex;

    use super::super::Settings;
    use super::*;

    #[derive(Default)]
    struct Kept(Mutex<Vec<String>>);

    impl Sink for Kept {
        fn send(&self, item: Item) -> BoxFuture<'_, Sent> {
            self.0.lock().push(item.id().as_str().to_owned());
            async { Sent::Taken }.boxed()
        }
    }

    struct Begun {
        kept: Arc<Kept>,
        stats: Arc<Stats>,
        open: Arc<AtomicBool>,
        asked: Arc<AtomicU64>,
        stop: watch::Sender<bool>,
        task: tokio::task::JoinHandle<()>,
    }

    fn begin(settings: &Settings, open: bool) -> Begun {
        let (stop, stopped) = watch::channel(false);
        let (kept, stats) = (Arc::<Kept>::default(), Arc::<Stats>::default());
        let (open, asked) = (Arc::new(AtomicBool::new(open)), Arc::<AtomicU64>::default());
        let drive = Drive {
            sink: Arc::clone(&kept) as Arc<dyn Sink>,
            stats: Arc::clone(&stats),
            concurrency: 4,
            open: {
                let (open, asked) = (Arc::clone(&open), Arc::clone(&asked));
                Arc::new(move || {
                    asked.fetch_add(1, Ordering::Relaxed);
                    open.load(Ordering::Relaxed)
                })
            },
            stop: stopped,
        };
        let plan = Arc::new(settings.plan("r").unwrap());
        Begun { kept, stats, open, asked, stop, task: tokio::spawn(async move { drive.run(&plan).await }) }
    }

    #[tokio::test]
    async fn it_opens_the_accounts_and_sends_exactly_as_many_as_asked_for() {
        let settings =
            Settings { rate: 100_000, accounts: 3, funding: Some(5), count: Some(50), ..Settings::default() };
        let Begun { kept, stats, stop: _stop, task, .. } = begin(&settings, true);
        task.await.unwrap();
        let mut ids = kept.0.lock().clone();
        let payments = ids.split_off(3);
        ids.sort();
        assert_eq!(ids, ["open:acct-000000:5USD", "open:acct-000001:5USD", "open:acct-000002:5USD"], "first");
        assert_eq!((payments.len(), stats.counts().taken), (50, 53));
        assert!(payments.contains(&"r-000000049".to_owned()));
    }

    #[tokio::test]
    async fn nothing_is_sent_while_the_intake_is_closed_and_a_stop_ends_it() {
        let settings = Settings { rate: 100_000, ..Settings::default() };
        let Begun { kept, open, asked, stop, task, .. } = begin(&settings, false);
        while asked.load(Ordering::Relaxed) < 20 {
            tokio::task::yield_now().await;
        }
        assert_eq!(kept.0.lock().len(), 0);
        open.store(true, Ordering::Relaxed);
        while kept.0.lock().is_empty() {
            tokio::task::yield_now().await;
        }
        stop.send_replace(true);
        task.await.unwrap();
    }
}
