//! What the disk does by itself, so that a latency can be told from the machine's. Only I/O.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

/// As much as a payment by REST brings to the journal, about.
const WRITE: [u8; 1024] = [1; 1024];
/// The file has its length from the beginning, as a journal of `kpay local`.
const FILE_BYTES: u64 = 64 << 20;

/// Adds how long each `fdatasync` takes, in microseconds, of small writes at this rate one after the other.
pub(crate) fn syncs(
    folder: &Path,
    rate: u64,
    seconds: u64,
    histogram: &mut Histogram<u64>,
) -> anyhow::Result<()> {
    let path = folder.join("syncs");
    let file = File::create(&path)?;
    file.set_len(FILE_BYTES)?;
    file.sync_all()?;
    let (began, length) = (Instant::now(), Duration::from_secs(seconds));
    for number in 0.. {
        let due = Duration::from_nanos(number * 1_000_000_000 / rate);
        if due.max(began.elapsed()) >= length {
            break;
        }
        std::thread::sleep(due.saturating_sub(began.elapsed()));
        file.write_all_at(&WRITE, number * WRITE.len() as u64 % FILE_BYTES)?;
        let written = Instant::now();
        file.sync_data()?;
        histogram.record(u64::try_from(written.elapsed().as_micros())?)?;
    }
    Ok(std::fs::remove_file(path)?)
}
