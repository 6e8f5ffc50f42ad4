//! Flags of `kpay pay` and `kpay payment`. Pure.

use clap::{Args, Subcommand};

use super::{ListArgs, WaitArgs};

/// An amount that has to be given.
#[derive(Debug, Clone, Args)]
pub struct AmountArgs {
    /// In major units with all decimals of the currency: 12.34USD, 1234JPY, 1.500KWD.
    #[arg(long, allow_hyphen_values = true)]
    pub amount: String,
    /// Of ISO 4217, when the amount does not name it.
    #[arg(long)]
    pub currency: Option<String>,
    /// The amount is a whole number of minor units (cents for USD), as in the REST API.
    #[arg(long)]
    pub minor: bool,
}

/// A payment to be made.
#[derive(Debug, Clone, Args)]
pub struct PayArgs {
    /// The payer's account.
    #[arg(long)]
    pub from: String,
    /// The payee's account.
    #[arg(long)]
    pub to: String,
    /// What is paid.
    #[command(flatten)]
    pub amount: AmountArgs,
    /// The idempotency key: given again with the same payment, it pays once [default: a new one, which is told]
    #[arg(long)]
    pub id: Option<String>,
    /// Text for people.
    #[arg(long)]
    pub reference: Option<String>,
    /// A key and a value of your own; may be given 16 times.
    #[arg(long = "attribute", value_name = "KEY=VALUE", value_parser = attribute)]
    pub attributes: Vec<(String, String)>,
    /// How long to wait.
    #[command(flatten)]
    pub wait: WaitArgs,
}

fn attribute(text: &str) -> Result<(String, String), String> {
    let pair = text.split_once('=').filter(|(key, _)| !key.is_empty());
    pair.map(|(key, value)| (key.to_owned(), value.to_owned())).ok_or_else(|| "is not key=value".to_owned())
}

/// What to do with a payment.
#[derive(Debug, Clone, Subcommand)]
pub enum PaymentCommand {
    /// Look at a payment or an account command.
    Get {
        /// Of the payment.
        id: String,
    },
    /// Pay a confirmed payment back, all of it or a part.
    Refund {
        /// Of the payment.
        id: String,
        /// The idempotency key of the refund [default: a new one, which is told]
        #[arg(long)]
        refund_id: Option<String>,
        /// A part, in major units with all decimals of the currency: 12.34USD [default: all of it]
        #[arg(long, allow_hyphen_values = true)]
        amount: Option<String>,
        /// Of ISO 4217, when the amount does not name it.
        #[arg(long, requires = "amount")]
        currency: Option<String>,
        /// The amount is a whole number of minor units.
        #[arg(long, requires = "amount")]
        minor: bool,
        /// How long to wait.
        #[command(flatten)]
        wait: WaitArgs,
    },
    /// List the payments that wait for somebody to release or refuse them, the oldest first.
    Holds(ListArgs),
    /// Let a held payment go on.
    Release(HoldArgs),
    /// Reject a held payment.
    Refuse(HoldArgs),
}

/// A decision on a held payment.
#[derive(Debug, Clone, Args)]
pub struct HoldArgs {
    /// Of the payment.
    pub id: String,
    /// Who decides.
    #[arg(long)]
    pub by: String,
    /// The reason, for the record.
    #[arg(long)]
    pub why: String,
    /// How long to wait.
    #[command(flatten)]
    pub wait: WaitArgs,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attribute_is_a_key_and_a_value() {
        assert_eq!(attribute("a=b=c"), Ok(("a".to_owned(), "b=c".to_owned())));
        assert_eq!(attribute("a="), Ok(("a".to_owned(), String::new())));
        assert!(attribute("=b").is_err() && attribute("a").is_err());
    }
}
