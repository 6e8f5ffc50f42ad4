//! Ids of payments, account commands and accounts: 1–64 characters of `[A-Za-z0-9._:-]`, checked when made.
//!
//! They are kept in a `CompactString`: up to 24 bytes live in the value itself, so that the usual account id costs no
//! allocation on the way through the stages, and a longer one (a UUID) costs one.

use std::{borrow::Borrow, fmt};

use compact_str::CompactString;

/// The longest id, in bytes and characters.
pub const ID_BYTES_MAX: usize = 64;

/// What is wrong with the text of an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// Nothing in it.
    #[error("must not be empty")]
    Empty,
    /// More than [`ID_BYTES_MAX`].
    #[error("must have at most 64 characters")]
    TooLong,
    /// A character beyond `[A-Za-z0-9._:-]`.
    #[error("may have only letters, digits and . _ : -")]
    Character,
}

/// True for the bytes that an id may have.
const ALLOWED: [bool; 256] = {
    let mut allowed = [false; 256];
    let bytes = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._:-";
    let mut rest: &[u8] = bytes;
    while let [byte, tail @ ..] = rest {
        #[allow(clippy::indexing_slicing, reason = "a byte is below 256; evaluated when compiled")]
        {
            allowed[*byte as usize] = true;
        }
        rest = tail;
    }
    allowed
};

fn check(text: &str) -> Result<(), IdError> {
    if text.is_empty() {
        return Err(IdError::Empty);
    }
    if text.len() > ID_BYTES_MAX {
        return Err(IdError::TooLong);
    }
    if text.bytes().all(|byte| ALLOWED.get(usize::from(byte)).copied().unwrap_or(false)) {
        Ok(())
    } else {
        Err(IdError::Character)
    }
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(CompactString);

        impl $name {
            /// Checks the text and copies it.
            pub fn new(text: &str) -> Result<Self, IdError> {
                check(text)?;
                Ok(Self(CompactString::new(text)))
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                self.0.as_str()
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                self.as_str()
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                self.as_str()
            }
        }

        impl AsRef<[u8]> for $name {
            fn as_ref(&self) -> &[u8] {
                self.as_str().as_bytes()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(self.as_str(), f)
            }
        }

        impl std::str::FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                Self::new(text)
            }
        }
    };
}

id! {
    /// The id of a payment or of an account command (they share one space of ids): the caller's idempotency key.
    PaymentId
}

id! {
    /// The id of an account.
    AccountId
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    #[test]
    fn ids_are_checked_when_made() {
        let longest = "x".repeat(64);
        for good in ["a", "p-1", "A.b_C:9-", longest.as_str()] {
            assert_eq!(PaymentId::new(good).unwrap().as_str(), good);
        }
        let too_long = "x".repeat(65);
        let table = [
            ("", IdError::Empty),
            (too_long.as_str(), IdError::TooLong),
            ("a b", IdError::Character),
            ("a/b", IdError::Character),
            ("é", IdError::Character),
            ("a\0", IdError::Character),
        ];
        for (bad, error) in table {
            assert_eq!(AccountId::new(bad), Err(error), "{bad:?}");
        }
    }

    #[test]
    fn a_map_of_ids_is_asked_with_plain_text() {
        let map = HashMap::from([(AccountId::new("alice").unwrap(), 1)]);
        assert_eq!(map.get("alice"), Some(&1));
    }
}
