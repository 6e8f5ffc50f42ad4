//! Lists with cursors. Only I/O.

use serde_json::Value;

use super::Context;
use super::args::ListArgs;
use super::exit::{CliError, Exit};
use super::print::{self, Column, Table};

/// Items of one request: as many as every list of the gateway gives at once.
const PAGE: u64 = 100;

/// A list of the gateway.
pub(super) struct List<'a> {
    /// Where it is.
    pub(super) path: String,
    /// What it is narrowed to.
    pub(super) filter: Vec<(&'static str, String)>,
    /// The field with the items.
    pub(super) items: &'static str,
    /// The table's.
    pub(super) columns: &'static [Column],
    /// An item's cells.
    pub(super) row: &'a dyn Fn(&Value) -> Vec<String>,
}

/// Prints page after page, so that a long list needs no memory.
pub(super) async fn show(context: &Context, args: &ListArgs, list: &List<'_>) -> Result<Exit, CliError> {
    let mut table = Table::new(list.columns);
    let (mut after, mut left) = (args.after.clone(), args.limit.unwrap_or(u64::MAX));
    loop {
        let mut query = list.filter.clone();
        query.push(("limit", left.min(PAGE).to_string()));
        query.extend(after.iter().map(|after| ("after", after.clone())));
        let (mut items, next) = context.gateway.get(&list.path, &query).await?.page(list.items);
        items.truncate(usize::try_from(left).unwrap_or(usize::MAX));
        left = left.saturating_sub(items.len() as u64);
        if context.printer.json() {
            let lines: String = items.iter().flat_map(|item| [item.get(), "\n"]).collect();
            print::write(&lines)?;
        } else {
            let values =
                items.iter().map(|item| serde_json::from_str::<Value>(item.get()).unwrap_or_default());
            let rows: Vec<Vec<String>> = values.map(|item| (list.row)(&item)).collect();
            print::write(&table.rows(&rows))?;
        }
        // A cursor that stands still would never end.
        match next {
            Some(next) if left > 0 && Some(&next) != after.as_ref() => after = Some(next),
            Some(next) if left == 0 && !context.printer.json() => {
                eprintln!("there is more: --after {next}");
                return Ok(Exit::Done);
            }
            _ => return Ok(Exit::Done),
        }
    }
}
