//! The name of a run. Reads the clock, and what is random.

/// A name that no other run has, on whichever machine.
pub fn new_run() -> String {
    let id = uuid::Uuid::now_v7().simple().to_string();
    // The time, and enough of the rest to tell two of one moment apart.
    format!("g{}{}", id.get(..12).unwrap_or_default(), id.get(24..).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_runs_have_one_name() {
        assert_ne!(new_run(), new_run());
        assert_eq!(new_run().len(), 21);
    }
}
