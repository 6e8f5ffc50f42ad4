//! What is paid: item `number` of a run is always the same, whoever asks and in which order. Pure: no clock, seeded.

use kpay_control::generator::{ACCOUNTS_MAX, AMOUNT_MAX, Amounts};
use kpay_domain::{
    AccountCommand, AccountId, Action, Attributes, Currency, IdError, Intake, Money, Payment, PaymentId,
};

use super::random::Random;

/// A duplicate repeats one of so many before it.
const DUPLICATE_WINDOW: u64 = 1_000;
/// An account that is never opened.
const UNKNOWN: &str = "nobody";

/// Which accounts pay and are paid.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, serde::Serialize, serde::Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Skew {
    /// All alike.
    Uniform,
    /// Account k is taken 1/k as often as the first one (Zipf's law with exponent 1).
    Zipf,
}

/// What a run consists of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spec {
    /// The same seed, the same payments.
    pub seed: u64,
    /// Comes before every payment id: two runs do not repeat each other's.
    pub run: String,
    /// How many accounts there are.
    pub accounts: u64,
    /// Which of them are taken.
    pub skew: Skew,
    /// How much is paid.
    pub amounts: Amounts,
    /// In what.
    pub currency: Currency,
    /// So many of a million are wrong, one kind after the other.
    pub invalid_ppm: u32,
    /// So many of a million repeat one before.
    pub duplicates_ppm: u32,
}

/// What is wrong with an invalid item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Invalid {
    /// Pays nothing: `amount_not_positive`.
    Amount,
    /// Pays itself: `same_account`.
    SameAccount,
    /// The payer does not exist: `unknown_account`.
    Payer,
    /// The payee does not exist: reversed with `unknown_account`.
    Payee,
    /// A currency that the payer does not hold: `currency_mismatch`.
    Currency,
    /// Nobody can read it: a dead letter, or 400 by REST.
    Unreadable,
}

impl Invalid {
    /// Every kind.
    pub const ALL: [Self; 6] =
        [Self::Amount, Self::SameAccount, Self::Payer, Self::Payee, Self::Currency, Self::Unreadable];
}

/// One record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// Can be read, and may be wrong all the same.
    Intake(Intake),
    /// Bytes without a meaning, under a key.
    Unreadable(PaymentId),
}

impl Item {
    /// The key of the record.
    pub const fn id(&self) -> &PaymentId {
        match self {
            Self::Intake(intake) => intake.id(),
            Self::Unreadable(id) => id,
        }
    }

    /// The record of payment.incoming.
    pub fn encode(&self, into: &mut Vec<u8>) {
        match self {
            Self::Intake(intake) => intake.encode(into),
            Self::Unreadable(_) => into.extend_from_slice(b"\xffnot a payment"),
        }
    }
}

/// A run.
#[derive(Debug, Clone)]
pub struct Workload {
    spec: Spec,
    accounts: Vec<AccountId>,
    unknown: AccountId,
    /// For [`Skew::Zipf`]: the sum of the weights up to each account.
    weights: Vec<u64>,
    other_currency: Currency,
}

/// The weight of the first account; that of the last of a million is still above 4,000.
const WEIGHT: u64 = 1 << 32;

impl Workload {
    /// Prepares a run. At least two accounts, at most [`ACCOUNTS_MAX`].
    pub fn new(mut spec: Spec) -> Result<Self, IdError> {
        spec.accounts = spec.accounts.clamp(2, ACCOUNTS_MAX);
        // The longest id that will be made.
        PaymentId::new(&format!("{}-{}", spec.run, u64::MAX))?;
        let accounts = (0..spec.accounts).map(account).collect::<Result<_, _>>()?;
        let weights = match spec.skew {
            Skew::Uniform => Vec::new(),
            Skew::Zipf => (1..=spec.accounts)
                .scan(0_u64, |sum, rank| {
                    *sum += WEIGHT / rank;
                    Some(*sum)
                })
                .collect(),
        };
        let other = if spec.currency.as_str() == "EUR" { "USD" } else { "EUR" };
        let other_currency = Currency::new(other).unwrap_or(spec.currency);
        Ok(Self { spec, accounts, unknown: AccountId::new(UNKNOWN)?, weights, other_currency })
    }

    /// How many accounts it pays between.
    pub const fn accounts(&self) -> u64 {
        self.spec.accounts
    }

    /// What opens account `number` of [`Workload::accounts`]: the same command in every run. Its id says all that it
    /// does, so that one with other money is another command, rejected with `account_exists`, and no conflict of ids.
    pub fn opening(&self, number: u64, funding_minor: i64) -> Result<Intake, IdError> {
        let account = account(number)?;
        let currency = self.spec.currency.as_str();
        Ok(Intake::Account(AccountCommand {
            id: PaymentId::new(&format!("open:{}:{funding_minor}{currency}", account.as_str()))?,
            account,
            occurred_at_ms: None,
            action: Action::Open { currency: Some(self.spec.currency), funding_minor },
        }))
    }

    /// Item `number`. The only error is an id that cannot be made, which [`Workload::new`] has excluded.
    pub fn item(&self, number: u64) -> Result<Item, IdError> {
        let original = self.original(number);
        let mut random = Random::of(self.spec.seed, original);
        let invalid = random.chance(self.spec.invalid_ppm).then(|| kind(&mut random));
        let id = PaymentId::new(&format!("{}-{original:09}", self.spec.run))?;
        if invalid == Some(Invalid::Unreadable) {
            return Ok(Item::Unreadable(id));
        }
        let from = self.pick(&mut random);
        let to = self.other(from, &mut random);
        let minor = amount(self.spec.amounts, &mut random);
        let mut payment = Payment {
            id,
            from: self.account(from),
            to: self.account(to),
            amount: Money::new(minor, self.spec.currency),
            reference: None,
            attributes: Attributes::default(),
            occurred_at_ms: None,
            refund: None,
        };
        match invalid {
            None | Some(Invalid::Unreadable) => {}
            Some(Invalid::Amount) => payment.amount.minor = 0,
            Some(Invalid::SameAccount) => payment.to = payment.from.clone(),
            Some(Invalid::Payer) => payment.from = self.unknown.clone(),
            Some(Invalid::Payee) => payment.to = self.unknown.clone(),
            Some(Invalid::Currency) => payment.amount.currency = self.other_currency,
        }
        Ok(Item::Intake(Intake::Payment(payment)))
    }

    /// The item that `number` is: itself, or one before that it repeats.
    fn original(&self, mut number: u64) -> u64 {
        loop {
            let mut random = Random::of(!self.spec.seed, number);
            if number == 0 || !random.chance(self.spec.duplicates_ppm) {
                return number;
            }
            number -= 1 + random.below(number.min(DUPLICATE_WINDOW));
        }
    }

    fn pick(&self, random: &mut Random) -> u64 {
        match self.weights.last() {
            None => random.below(self.spec.accounts),
            Some(total) => {
                let point = random.below(*total);
                self.weights.partition_point(|sum| *sum <= point) as u64
            }
        }
    }

    /// Another account than `than`.
    fn other(&self, than: u64, random: &mut Random) -> u64 {
        match self.pick(random) {
            // The next one: under a skew a second pick could be the same for long.
            same if same == than => (than + 1) % self.spec.accounts,
            other => other,
        }
    }

    fn account(&self, number: u64) -> AccountId {
        let at = usize::try_from(number).unwrap_or(usize::MAX);
        self.accounts.get(at).unwrap_or(&self.unknown).clone()
    }
}

/// An amount of that kind.
fn amount(of: Amounts, random: &mut Random) -> i64 {
    match of {
        Amounts::Fixed(minor) => minor,
        Amounts::Uniform(low, high) => {
            let width = u64::try_from(high - low).unwrap_or(0) + 1;
            low + i64::try_from(random.below(width)).unwrap_or(0)
        }
        Amounts::Median(median) => {
            // How many of 16 coins fall on heads is nearly normal with σ 2: so many octaves from the median, and evenly
            // within the octave, from two thirds of the median to four thirds in the middle one.
            let heads = (random.next() & 0xffff).count_ones();
            let scaled = (i128::from(median) * 2 / 3 * i128::from(u64::MAX / 2 + random.next() / 2)) >> 63;
            let octaves = if heads >= 8 { scaled << (heads - 8) } else { scaled >> (8 - heads) };
            i64::try_from(octaves).unwrap_or(AMOUNT_MAX).clamp(1, AMOUNT_MAX)
        }
    }
}

fn kind(random: &mut Random) -> Invalid {
    let at = usize::try_from(random.below(Invalid::ALL.len() as u64)).unwrap_or(0);
    Invalid::ALL.get(at).copied().unwrap_or(Invalid::Amount)
}

/// The name of account `number`.
pub fn account(number: u64) -> Result<AccountId, IdError> {
    AccountId::new(&format!("acct-{number:06}"))
}

#[cfg(test)]
mod tests;
