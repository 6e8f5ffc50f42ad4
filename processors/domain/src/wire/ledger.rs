//! Ledger entries and snapshots.

use buffa::EnumValue;

use super::{
    append,
    hold::{outflow_view, own_view, read_outflow, read_own},
    payment::{account_id, currency, payment_id},
    proto, view,
};
use crate::{
    account::{Account, AccountStatus},
    ids::AccountId,
    ledger::{AccountSnapshot, EntryKind, LedgerEntry},
    malformed::Malformed,
    money::Money,
};
use proto::{AccountStatus as ProtoStatus, ledger_entry::Kind};

impl LedgerEntry {
    /// Reads a record of account.ledger.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let view: proto::LedgerEntryView<'_> = view(bytes)?;
        let kind = match view.kind {
            EnumValue::Known(Kind::KIND_OPENED) => EntryKind::Opened,
            EnumValue::Known(Kind::KIND_FUNDED) => EntryKind::Funded,
            EnumValue::Known(Kind::KIND_DEBIT) => EntryKind::Debit,
            EnumValue::Known(Kind::KIND_CREDIT) => EntryKind::Credit,
            EnumValue::Known(Kind::KIND_REVERSE) => EntryKind::Reverse,
            EnumValue::Known(Kind::KIND_FROZEN) => EntryKind::Frozen,
            EnumValue::Known(Kind::KIND_UNFROZEN) => EntryKind::Unfrozen,
            EnumValue::Known(Kind::KIND_CLOSED) => EntryKind::Closed,
            EnumValue::Known(Kind::KIND_LIMITS) => EntryKind::Limits,
            EnumValue::Known(Kind::KIND_UNSPECIFIED) => return Err(Malformed::missing("kind")),
            EnumValue::Unknown(_) => {
                return Err(Malformed::new("enum_unknown", "kind", "of a newer release"));
            }
        };
        let counterparty = match view.counterparty {
            "" => None,
            text => Some(account_id("counterparty", text)?),
        };
        Ok(Self {
            account: account_id("account", view.account)?,
            kind,
            id: payment_id(view.id)?,
            counterparty,
            amount: Money::new(view.amount_minor, currency("currency", view.currency)?),
            balance_minor: view.balance_minor,
            version: view.version,
            status: read_status(view.status)?,
            at_ms: view.at_ms,
            outflow: read_outflow(&view.outflow),
            limits: read_own(&view.limits)?,
        })
    }

    /// Appends the record of account.ledger.
    pub fn encode(&self, buffer: &mut Vec<u8>) {
        let kind = match self.kind {
            EntryKind::Opened => Kind::KIND_OPENED,
            EntryKind::Funded => Kind::KIND_FUNDED,
            EntryKind::Debit => Kind::KIND_DEBIT,
            EntryKind::Credit => Kind::KIND_CREDIT,
            EntryKind::Reverse => Kind::KIND_REVERSE,
            EntryKind::Frozen => Kind::KIND_FROZEN,
            EntryKind::Unfrozen => Kind::KIND_UNFROZEN,
            EntryKind::Closed => Kind::KIND_CLOSED,
            EntryKind::Limits => Kind::KIND_LIMITS,
        };
        let view = proto::LedgerEntryView {
            account: self.account.as_str(),
            kind: EnumValue::Known(kind),
            id: self.id.as_str(),
            counterparty: self.counterparty.as_ref().map_or("", AccountId::as_str),
            amount_minor: self.amount.minor,
            currency: self.amount.currency.as_str(),
            balance_minor: self.balance_minor,
            version: self.version,
            status: status(self.status),
            at_ms: self.at_ms,
            outflow: outflow_view(self.outflow),
            limits: own_view(self.limits.as_deref()),
        };
        append(&view, buffer);
    }
}

impl AccountSnapshot {
    /// Reads a record of account.checkpoints.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let view: proto::AccountSnapshotView<'_> = view(bytes)?;
        Ok(Self {
            account: account_id("account", view.account)?,
            state: Account {
                currency: currency("currency", view.currency)?,
                balance_minor: view.balance_minor,
                status: read_status(view.status)?,
                version: view.version,
                outflow: read_outflow(&view.outflow),
                limits: read_own(&view.limits)?,
            },
            at_ms: view.at_ms,
        })
    }

    /// Appends the record of account.checkpoints.
    pub fn encode(&self, buffer: &mut Vec<u8>) {
        let view = proto::AccountSnapshotView {
            account: self.account.as_str(),
            currency: self.state.currency.as_str(),
            balance_minor: self.state.balance_minor,
            version: self.state.version,
            status: status(self.state.status),
            at_ms: self.at_ms,
            outflow: outflow_view(self.state.outflow),
            limits: own_view(self.state.limits.as_deref()),
        };
        append(&view, buffer);
    }
}

fn read_status(status: EnumValue<ProtoStatus>) -> Result<AccountStatus, Malformed> {
    match status {
        EnumValue::Known(ProtoStatus::ACCOUNT_STATUS_OPEN) => Ok(AccountStatus::Open),
        EnumValue::Known(ProtoStatus::ACCOUNT_STATUS_FROZEN) => Ok(AccountStatus::Frozen),
        EnumValue::Known(ProtoStatus::ACCOUNT_STATUS_CLOSED) => Ok(AccountStatus::Closed),
        EnumValue::Known(ProtoStatus::ACCOUNT_STATUS_UNSPECIFIED) => Err(Malformed::missing("status")),
        EnumValue::Unknown(_) => Err(Malformed::new("enum_unknown", "status", "of a newer release")),
    }
}

const fn status(status: AccountStatus) -> EnumValue<ProtoStatus> {
    EnumValue::Known(match status {
        AccountStatus::Open => ProtoStatus::ACCOUNT_STATUS_OPEN,
        AccountStatus::Frozen => ProtoStatus::ACCOUNT_STATUS_FROZEN,
        AccountStatus::Closed => ProtoStatus::ACCOUNT_STATUS_CLOSED,
    })
}
