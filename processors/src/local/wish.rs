//! What somebody wants the pipeline to do, by the gateway, kept in the data folder. Only I/O.
//!
//! The last change wins: a wish carries what the pipeline's file looked like when it was made, and holds until the file
//! has been written again.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Context;
use futures::future::{BoxFuture, FutureExt};
use jiff::Timestamp;
use kpay_crds::DesiredPhase;
use kpay_streams::clock::now_ms;
use serde::{Deserialize, Serialize};
use tokio::sync::{Mutex, watch};
use tracing::info;

use super::pipeline::{Written, written};
use crate::gateway::wish::{Wish, WishError, Wishes};
use crate::pod::pause::Pause;

/// In the data folder.
const FILE: &str = "desired-phase.json";

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

/// Keeps the newest wish.
pub(super) struct Folder {
    path: PathBuf,
    pipeline: Option<PathBuf>,
    tell: Mutex<watch::Sender<Option<Kept>>>,
}

impl Folder {
    /// The wishes kept in `folder`, made against the file `pipeline`, and a receiver of the newest.
    pub(super) fn open(
        folder: &Path,
        pipeline: Option<PathBuf>,
    ) -> anyhow::Result<(Self, watch::Receiver<Option<Kept>>)> {
        let path = folder.join(FILE);
        let kept = match std::fs::read(&path) {
            Ok(json) => Some(serde_json::from_slice(&json).with_context(|| path.display().to_string())?),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => return Err(error).with_context(|| path.display().to_string()),
        };
        let (tell, kept) = watch::channel(kept);
        Ok((Self { path: folder.to_owned(), pipeline, tell: Mutex::new(tell) }, kept))
    }
}

impl Wishes for Folder {
    fn wish(&self, wish: Wish) -> BoxFuture<'_, Result<(), WishError>> {
        async move {
            let Wish { desired, holder, reason } = wish;
            // One at a time: the file has what was told last.
            let tell = self.tell.lock().await;
            let (folder, pipeline) = (self.path.clone(), self.pipeline.clone());
            let write = move || {
                let file = pipeline.as_deref().and_then(written);
                let kept = Kept { desired_phase: desired, holder, reason, at_ms: Some(now_ms()), file };
                write(&folder, &kept).map(|()| kept)
            };
            let kept = tokio::task::spawn_blocking(write).await.map_err(std::io::Error::other)??;
            info!(desired = ?desired, holder = kept.holder, reason = kept.reason, "by the gateway");
            tell.send_replace(Some(kept));
            Ok(())
        }
        .boxed()
    }
}

/// Writes beside and renames, so that there is always a whole one.
fn write(folder: &Path, kept: &Kept) -> std::io::Result<()> {
    let beside = folder.join(format!("{FILE}.new"));
    let mut file = File::create(&beside)?;
    file.write_all(&serde_json::to_vec_pretty(kept)?)?;
    file.write_all(b"\n")?;
    file.sync_all()?;
    std::fs::rename(&beside, folder.join(FILE))?;
    File::open(folder)?.sync_all()
}
