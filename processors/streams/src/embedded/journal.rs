//! The newest journal of the database, synced beside its writer. Only I/O.
//!
//! The database's own sync holds the lock of its writer, so that each commit of a stage would wait for the disk whenever
//! the intake is synced. A file may be synced by any handle of it; this one is the store's own.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

/// Syncs the newest journal of a directory.
#[derive(Debug)]
pub(super) struct Journal {
    directory: PathBuf,
    newest: Option<(u64, File)>,
}

impl Journal {
    pub(super) fn new(directory: PathBuf) -> Self {
        Self { directory, newest: None }
    }

    /// What was committed before this call is on the disk after it. The database syncs a journal before it begins the
    /// next one, and removes one only when its content is on the disk otherwise.
    pub(super) fn sync(&mut self) -> io::Result<()> {
        self.newest()?.sync_data()
    }

    /// Looked for each time: a handle of an older one would sync nothing of what is written now.
    fn newest(&mut self) -> io::Result<&File> {
        let number = newest_in(&self.directory)?;
        let file = match self.newest.take().filter(|(known, _)| *known == number) {
            Some((_, file)) => file,
            None => match File::open(self.directory.join(format!("{number}.jnl"))) {
                // Ended and removed since it was found: there is a newer one.
                Err(error) if error.kind() == io::ErrorKind::NotFound => return self.newest(),
                opened => opened?,
            },
        };
        Ok(&self.newest.insert((number, file)).1)
    }
}

fn newest_in(directory: &Path) -> io::Result<u64> {
    let mut newest = None;
    for entry in fs::read_dir(directory)? {
        newest = newest.max(number_of(&entry?.file_name()));
    }
    newest.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "there is no journal"))
}

fn number_of(name: &OsStr) -> Option<u64> {
    name.to_str()?.strip_suffix(".jnl")?.parse().ok()
}

#[cfg(test)]
mod tests;
