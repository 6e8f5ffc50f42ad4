//! A running sum for each key: ids seen come back from the input, sums from a changelog.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use kpay_streams::log::{LogError, Reader, Start, Until};
use kpay_streams::out::{Out, TopicIndex};
use kpay_streams::record::Record;
use kpay_streams::stage::Stage;
use parking_lot::Mutex;

use crate::planted::Plant;

const INPUT: TopicIndex = TopicIndex(0);
const OUTPUT: TopicIndex = TopicIndex(1);
const CHANGELOG: TopicIndex = TopicIndex(2);

/// The state of one partition.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Table {
    pub(crate) next: i64,
    pub(crate) sums: BTreeMap<Vec<u8>, i64>,
    pub(crate) ids: BTreeSet<u64>,
}

impl Table {
    pub(crate) fn add(&mut self, key: &[u8], payment: Payment) -> bool {
        let new = self.ids.insert(payment.id);
        if new {
            *self.sums.entry(key.to_vec()).or_default() += payment.amount;
        }
        new
    }
}

/// The committed state of a worker, as the harness looks at it.
#[derive(Debug, Default)]
pub(crate) struct View {
    pub(crate) tables: BTreeMap<i32, Table>,
    /// Counts commits and restores.
    pub(crate) version: u64,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Payment {
    pub(crate) id: u64,
    pub(crate) amount: i64,
}

impl Payment {
    pub(crate) fn encode(self) -> [u8; 16] {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.id.to_le_bytes());
        bytes[8..].copy_from_slice(&self.amount.to_le_bytes());
        bytes
    }

    pub(crate) fn decode(bytes: &[u8]) -> Self {
        let id = u64::from_le_bytes(bytes[..8].try_into().unwrap());
        Self { id, amount: i64::from_le_bytes(bytes[8..].try_into().unwrap()) }
    }
}

pub(crate) struct SumStage {
    committed: Arc<Mutex<View>>,
    /// Whole tables of the partitions that the open transaction touched, and the keys that it changed.
    overlay: BTreeMap<i32, (Table, BTreeSet<Vec<u8>>)>,
    plant: Plant,
}

impl SumStage {
    pub(crate) fn new(committed: Arc<Mutex<View>>, plant: Plant) -> Self {
        Self { committed, overlay: BTreeMap::new(), plant }
    }

    fn fold(&mut self) {
        let mut view = self.committed.lock();
        for (partition, (table, _)) in std::mem::take(&mut self.overlay) {
            view.tables.insert(partition, table);
        }
        view.version += 1;
    }
}

impl Stage for SumStage {
    fn restore(
        &mut self,
        partition: i32,
        committed: i64,
        _metadata: &str,
        reader: &mut dyn Reader,
    ) -> Result<(), LogError> {
        let mut table = Table { next: committed, ..Table::default() };
        reader.read(CHANGELOG, partition, Start::Beginning, Until::Stable, &mut |record| {
            table.sums.insert(record.key.to_vec(), i64::from_le_bytes(record.value.try_into().unwrap()));
        })?;
        reader.read(INPUT, partition, Start::Beginning, Until::Offset(committed), &mut |record| {
            table.ids.insert(Payment::decode(record.value).id);
        })?;
        let mut view = self.committed.lock();
        view.tables.insert(partition, table);
        view.version += 1;
        Ok(())
    }

    fn revoke(&mut self, partition: i32) {
        self.committed.lock().tables.remove(&partition);
        self.overlay.remove(&partition);
    }

    fn process(&mut self, record: &Record<'_>, _now_ms: i64, out: &mut Out) {
        let payment = Payment::decode(record.value);
        let view = Arc::clone(&self.committed);
        let (table, dirty) = self.overlay.entry(record.partition).or_insert_with(|| {
            (view.lock().tables.get(&record.partition).cloned().unwrap_or_default(), BTreeSet::new())
        });
        if table.add(record.key, payment) {
            dirty.insert(record.key.to_vec());
            out.send(OUTPUT, record.key, |b| b.extend_from_slice(&payment.encode()));
        }
        table.next = record.offset + 1;
        if self.plant == Plant::FoldBeforeCommit {
            self.committed.lock().tables.insert(record.partition, table.clone());
        }
    }

    fn before_commit(&mut self, _now_ms: i64, out: &mut Out) {
        for (&partition, (table, dirty)) in &self.overlay {
            for key in dirty {
                let sum = table.sums[key].to_le_bytes();
                out.send_to(CHANGELOG, partition, key, |b| b.extend_from_slice(&sum));
            }
        }
    }

    fn metadata(&self, partition: i32) -> String {
        let overlaid = self.overlay.get(&partition).map(|(table, _)| table.ids.len());
        overlaid.unwrap_or_else(|| self.committed.lock().tables[&partition].ids.len()).to_string()
    }

    fn commit(&mut self) {
        self.fold();
    }

    fn abort(&mut self) {
        if self.plant != Plant::OverlayKept {
            self.overlay.clear();
        }
    }
}
