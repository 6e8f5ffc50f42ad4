//! What somebody wants the pipeline to do, by the gateway, kept in the data folder. Only I/O.
//!
//! Of the desired phase the last change wins: a wish carries what the pipeline's file looked like when it was made, and
//! holds until the file has been written again. A pause holds until it ends or its holder lets go, whatever the file says. A
//! wish is answered when the phase machine follows it, so that who wished reads his own wish.

use std::path::{Path, PathBuf};
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt};
use jiff::Timestamp;
use kpay_control::pause::is_over;
use kpay_crds::{DesiredPhase, Holder, PAUSES_MAX, Pause};
use kpay_streams::clock::now_ms;
use serde::{Deserialize, Serialize};
use tokio::sync::{Mutex, watch};
use tokio::time::{sleep, timeout};
use tracing::info;

use super::kept;
use super::pipeline::{Written, written};
use crate::gateway::wish::{Granted, Wish, WishError, Wishes};
use crate::pod::pause::{ByPhase, Pauses, held};

/// In the data folder.
const FILE: &str = "desired-phase.json";
const PAUSES: &str = "pauses.json";
/// For so long it is waited until the phase machine has seen a wish, which is kept by then.
const SEEN_WITHIN: Duration = Duration::from_secs(5);

/// A desired phase as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Kept {
    pub(super) desired_phase: DesiredPhase,
    reason: Option<String>,
    /// When it was made, in milliseconds since 1970 UTC; an older release did not tell.
    #[serde(default)]
    at_ms: Option<i64>,
    /// The pipeline's file when the wish was made; null without a file.
    pub(super) file: Option<Written>,
}

impl Kept {
    /// Why it is wanted, and since when.
    pub(super) fn by_phase(&self) -> ByPhase {
        let since = self.at_ms.and_then(|ms| Timestamp::from_millisecond(ms).ok());
        ByPhase { by: None, reason: self.reason.clone(), since }
    }
}

/// What was wished, as the phase machine follows it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Wished {
    /// The newest desired phase.
    pub(super) phase: Option<Kept>,
    /// Who holds a pause, or has held one that ended by itself.
    pub(super) holders: Vec<Holder>,
}

/// The newest wishes, as the phase machine follows them.
pub(super) struct Newest {
    wished: watch::Receiver<Wished>,
    followed: watch::Sender<Option<(Wished, Granted)>>,
}

impl Newest {
    /// As they are now.
    pub(super) fn look(&mut self) -> Wished {
        self.wished.borrow_and_update().clone()
    }

    /// Tells what follows from wishes, once that is told to all others.
    pub(super) fn follow(&self, wished: Wished, granted: Granted) {
        let new = Some((wished, granted));
        self.followed.send_if_modified(|followed| {
            let modified = *followed != new;
            *followed = new;
            modified
        });
    }

    /// Waits for another wish, but no longer than this.
    pub(super) async fn changed(&mut self, at_most: Duration) {
        if let Ok(Err(_)) = timeout(at_most, self.wished.changed()).await {
            // Nobody wishes any more.
            sleep(at_most).await;
        }
    }
}

/// Keeps the newest wishes.
pub(super) struct Folder {
    path: PathBuf,
    pipeline: Option<PathBuf>,
    tell: Mutex<watch::Sender<Wished>>,
    followed: watch::Receiver<Option<(Wished, Granted)>>,
}

impl Folder {
    /// The wishes kept in `folder`, made against the file `pipeline`, and the newest for who follows them.
    pub(super) fn open(folder: &Path, pipeline: Option<PathBuf>) -> anyhow::Result<(Self, Newest)> {
        let holders = kept::read(folder, PAUSES)?.unwrap_or_default();
        let (tell, wished) = watch::channel(Wished { phase: kept::read(folder, FILE)?, holders });
        let (follow, followed) = watch::channel(None);
        let folder = Self { path: folder.to_owned(), pipeline, tell: Mutex::new(tell), followed };
        Ok((folder, Newest { wished, followed: follow }))
    }

    /// What is wished with this as well; written before anybody is told.
    async fn write(&self, mut wished: Wished, wish: Wish) -> Result<Wished, WishError> {
        let (folder, pipeline) = (self.path.clone(), self.pipeline.clone());
        let write = move || {
            match wish {
                Wish::Phase(desired_phase, reason) => {
                    let file = pipeline.as_deref().and_then(written);
                    let kept = Kept { desired_phase, reason, at_ms: Some(now_ms()), file };
                    kept::write(&folder, FILE, &kept)?;
                    wished.phase = Some(kept);
                }
                Wish::Hold(pause) => {
                    wished.holders = with(wished.holders, &pause, Timestamp::now())?;
                    kept::write(&folder, PAUSES, &wished.holders)?;
                }
                Wish::LetGo(name) => {
                    wished.holders.retain(|holder| holder.holder != name);
                    kept::write(&folder, PAUSES, &wished.holders)?;
                }
            }
            Ok(wished)
        };
        tokio::task::spawn_blocking(write).await.map_err(std::io::Error::other)?
    }
}

/// The holders with one more, or with what one holds changed; without those whose pauses have ended.
fn with(mut holders: Vec<Holder>, pause: &Pause, now: Timestamp) -> Result<Vec<Holder>, WishError> {
    // As it is written: in whole seconds.
    let now = Timestamp::from_second(now.as_second()).unwrap_or(now).into();
    holders.retain(|holder| !is_over(holder.until.as_ref(), &now));
    if let Some(his) = holders.iter_mut().find(|holder| holder.holder == pause.holder) {
        *his = Holder { since: his.since.clone(), ..held(pause) };
    } else if holders.len() < PAUSES_MAX {
        holders.push(Holder { since: Some(now), ..held(pause) });
    } else {
        return Err(WishError::Full);
    }
    Ok(holders)
}

impl Wishes for Folder {
    fn wish(&self, wish: Wish) -> BoxFuture<'_, Result<Granted, WishError>> {
        async move {
            // One at a time: the files have what was told last.
            let tell = self.tell.lock().await;
            let before = tell.borrow().clone();
            let wished = self.write(before, wish.clone()).await?;
            info!(?wish, "by the gateway");
            tell.send_replace(wished.clone());
            let mut followed = self.followed.clone();
            let is_seen = |followed: &Option<(Wished, Granted)>| {
                followed.as_ref().is_some_and(|(followed, _)| *followed == wished)
            };
            // However that ends, it is kept.
            if let Ok(Ok(seen)) = timeout(SEEN_WITHIN, followed.wait_for(is_seen)).await
                && let Some((_, granted)) = seen.as_ref()
            {
                return Ok(granted.clone());
            }
            let desired = wished.phase.as_ref().map_or(DesiredPhase::Running, |kept| kept.desired_phase);
            let by_phase = wished.phase.as_ref().map(Kept::by_phase);
            Ok(Granted { desired, pauses: Pauses { by_phase, holders: wished.holders } })
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests {
    use futures::poll;

    use super::*;

    fn pause(holder: &str, until: Option<&str>) -> Pause {
        let until = until.map(|at| at.parse::<Timestamp>().unwrap().into());
        Pause { holder: holder.to_owned(), reason: None, until }
    }

    #[tokio::test]
    async fn a_wish_is_answered_once_it_is_followed_and_outlives_the_process() {
        let path = std::env::temp_dir().join(format!("kpay-wish-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        let (folder, mut newest) = Folder::open(&path, None).unwrap();
        assert_eq!(newest.look(), Wished::default());
        let reason = Some("books".to_owned());
        for wish in [Wish::Phase(DesiredPhase::Paused, reason), Wish::Hold(pause("alice", None))] {
            let mut wish = folder.wish(wish);
            while !newest.wished.has_changed().unwrap() {
                assert!(poll!(&mut wish).is_pending());
                tokio::task::yield_now().await;
            }
            let wished = newest.look();
            assert!(poll!(&mut wish).is_pending(), "nobody follows it yet");
            let by_phase = wished.phase.as_ref().map(Kept::by_phase);
            let pauses = Pauses { by_phase, holders: wished.holders.clone() };
            let granted = Granted { desired: DesiredPhase::Paused, pauses };
            newest.follow(wished, granted.clone());
            assert_eq!(wish.await.unwrap(), granted);
        }
        let kept = newest.look();
        assert_eq!(kept.phase.as_ref().and_then(|kept| kept.reason.as_deref()), Some("books"));
        assert_eq!(kept.holders.len(), 1);
        assert_eq!(Folder::open(&path, None).unwrap().1.look(), kept, "since when as well");
        std::fs::remove_dir_all(path).unwrap();
    }

    #[test]
    fn a_holder_has_one_pause_and_keeps_since_when_it_holds() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let (early, late) = (at("2026-11-27T11:00:00.5Z"), at("2026-11-27T12:00:00Z"));
        let first = with(Vec::new(), &pause("alice", Some("2026-11-27T13:00:00Z")), early).unwrap();
        assert_eq!(first[0].since, Some(at("2026-11-27T11:00:00Z").into()), "in whole seconds");
        let longer = with(first.clone(), &pause("alice", None), late).unwrap();
        assert_eq!((longer.len(), &longer[0].since, &longer[0].until), (1, &first[0].since, &None));
        let ended = with(first, &pause("bob", None), at("2026-11-27T13:00:00Z")).unwrap();
        assert_eq!(ended.iter().map(|holder| holder.holder.as_str()).collect::<Vec<_>>(), ["bob"]);
        let full: Vec<Holder> = (0..PAUSES_MAX).map(|n| held(&pause(&format!("h{n}"), None))).collect();
        assert!(matches!(with(full.clone(), &pause("alice", None), early), Err(WishError::Full)));
        assert_eq!(with(full, &pause("h3", None), early).unwrap().len(), PAUSES_MAX);
    }
}
