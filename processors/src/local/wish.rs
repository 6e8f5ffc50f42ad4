//! What somebody wants the pipeline to do, by the gateway, kept in the data folder. Only I/O.
//!
//! The last change wins: a wish carries what the pipeline's file looked like when it was made, and holds until the file
//! has been written again. It is answered when the phase machine follows it, so that who wished reads his own wish.

use std::path::{Path, PathBuf};
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt};
use jiff::Timestamp;
use kpay_crds::DesiredPhase;
use kpay_streams::clock::now_ms;
use serde::{Deserialize, Serialize};
use tokio::sync::{Mutex, watch};
use tokio::time::{sleep, timeout};
use tracing::info;

use super::kept;
use super::pipeline::{Written, written};
use crate::gateway::wish::{Wish, WishError, Wishes};
use crate::pod::pause::Pause;

/// In the data folder.
const FILE: &str = "desired-phase.json";
/// For so long it is waited until the phase machine has seen a wish, which is kept by then.
const SEEN_WITHIN: Duration = Duration::from_secs(5);

/// A wish as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Kept {
    pub(super) desired_phase: DesiredPhase,
    holder: Option<String>,
    reason: Option<String>,
    /// When it was made, in milliseconds since 1970 UTC; an older release did not tell.
    #[serde(default)]
    at_ms: Option<i64>,
    /// The pipeline's file when the wish was made; null without a file.
    pub(super) file: Option<Written>,
}

impl Kept {
    /// Who wants it, and why.
    pub(super) fn pause(&self) -> Pause {
        let since = self.at_ms.and_then(|ms| Timestamp::from_millisecond(ms).ok());
        Pause { by: self.holder.clone(), reason: self.reason.clone(), since }
    }
}

/// The newest wish, as the phase machine follows it.
pub(super) struct Newest {
    kept: watch::Receiver<Option<Kept>>,
    followed: watch::Sender<Option<Kept>>,
}

impl Newest {
    /// As it is now.
    pub(super) fn look(&mut self) -> Option<Kept> {
        self.kept.borrow_and_update().clone()
    }

    /// Tells that what follows from a wish is told.
    pub(super) fn follow(&self, kept: Option<Kept>) {
        self.followed.send_if_modified(|followed| {
            let new = *followed != kept;
            *followed = kept;
            new
        });
    }

    /// Waits for another wish, but no longer than this.
    pub(super) async fn changed(&mut self, at_most: Duration) {
        if let Ok(Err(_)) = timeout(at_most, self.kept.changed()).await {
            // Nobody wishes any more.
            sleep(at_most).await;
        }
    }
}

/// Keeps the newest wish.
pub(super) struct Folder {
    path: PathBuf,
    pipeline: Option<PathBuf>,
    tell: Mutex<watch::Sender<Option<Kept>>>,
    followed: watch::Receiver<Option<Kept>>,
}

impl Folder {
    /// The wishes kept in `folder`, made against the file `pipeline`, and the newest for who follows it.
    pub(super) fn open(folder: &Path, pipeline: Option<PathBuf>) -> anyhow::Result<(Self, Newest)> {
        let (tell, kept) = watch::channel(kept::read(folder, FILE)?);
        let (follow, followed) = watch::channel(None);
        let folder = Self { path: folder.to_owned(), pipeline, tell: Mutex::new(tell), followed };
        Ok((folder, Newest { kept, followed: follow }))
    }
}

impl Wishes for Folder {
    fn wish(&self, wish: Wish) -> BoxFuture<'_, Result<Option<Pause>, WishError>> {
        async move {
            let Wish { desired, holder, reason } = wish;
            // One at a time: the file has what was told last.
            let tell = self.tell.lock().await;
            let (folder, pipeline) = (self.path.clone(), self.pipeline.clone());
            let write = move || {
                let file = pipeline.as_deref().and_then(written);
                let kept = Kept { desired_phase: desired, holder, reason, at_ms: Some(now_ms()), file };
                kept::write(&folder, FILE, &kept).map(|()| kept)
            };
            let kept = tokio::task::spawn_blocking(write).await.map_err(std::io::Error::other)??;
            info!(desired = ?desired, holder = kept.holder, reason = kept.reason, "by the gateway");
            tell.send_replace(Some(kept.clone()));
            let mut followed = self.followed.clone();
            let seen = followed.wait_for(|followed| followed.as_ref() == Some(&kept));
            // However that ends, it is kept.
            let _ = timeout(SEEN_WITHIN, seen).await;
            Ok((desired != DesiredPhase::Running).then(|| kept.pause()))
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests {
    use futures::poll;

    use super::*;

    #[tokio::test]
    async fn a_wish_is_answered_once_it_is_followed_and_outlives_the_process() {
        let path = std::env::temp_dir().join(format!("kpay-wish-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        let (folder, mut newest) = Folder::open(&path, None).unwrap();
        assert_eq!(newest.look(), None);
        let (holder, reason) = (Some("alice".to_owned()), None);
        let mut wish = folder.wish(Wish { desired: DesiredPhase::Paused, holder, reason });
        while !newest.kept.has_changed().unwrap() {
            assert!(poll!(&mut wish).is_pending());
            tokio::task::yield_now().await;
        }
        let kept = newest.look();
        assert!(poll!(&mut wish).is_pending(), "nobody follows it yet");
        newest.follow(kept.clone());
        let pause = wish.await.unwrap();
        assert_eq!(pause.as_ref().and_then(|pause| pause.by.as_deref()), Some("alice"));
        assert_eq!(pause, kept.as_ref().map(Kept::pause), "since when, as it is told later");
        assert_eq!(Folder::open(&path, None).unwrap().1.look(), kept);
        std::fs::remove_dir_all(path).unwrap();
    }
}
