//! The epoch, kept in the data folder so that it grows over restarts. Only I/O.

use std::path::{Path, PathBuf};

use tracing::warn;

use super::kept;

/// In the data folder.
const FILE: &str = "epoch.json";

/// The epoch of the last change of phase.
pub(super) struct Epoch {
    folder: PathBuf,
    last: u64,
}

impl Epoch {
    /// As the process before had it; 0 before the first change.
    pub(super) fn open(folder: &Path) -> anyhow::Result<Self> {
        Ok(Self { folder: folder.to_owned(), last: kept::read(folder, FILE)?.unwrap_or_default() })
    }

    pub(super) fn last(&self) -> u64 {
        self.last
    }

    /// The next one, kept before anybody learns of it. A disk that does not take it holds up no phase.
    pub(super) async fn grow(&mut self) -> u64 {
        self.last = self.last.saturating_add(1);
        let (folder, last) = (self.folder.clone(), self.last);
        let wrote = tokio::task::spawn_blocking(move || kept::write(&folder, FILE, &last)).await;
        if let Err(error) = wrote.map_err(std::io::Error::other).flatten() {
            warn!(%error, "the epoch was not kept");
        }
        self.last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_goes_on_where_the_process_before_has_ended() {
        let folder = std::env::temp_dir().join(format!("kpay-epoch-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        for expected in [1, 3] {
            let mut epoch = Epoch::open(&folder).unwrap();
            assert_eq!((epoch.grow().await, epoch.grow().await), (expected, expected + 1));
            assert_eq!(epoch.last(), expected + 1);
        }
        std::fs::write(folder.join(FILE), "seven").unwrap();
        assert!(Epoch::open(&folder).is_err());
        std::fs::remove_dir_all(folder).unwrap();
    }
}
