//! Protobuf without a schema: the fields of a message by number. Pure.

/// The value of one field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value<'a> {
    /// Wire type 0.
    Varint(u64),
    /// Wire type 2: text, bytes or a message.
    Bytes(&'a [u8]),
    /// Wire types 1 and 5, which our messages do not use.
    Fixed,
}

/// Bytes that are no protobuf message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a protobuf message")]
pub struct NotProtobuf;

/// The fields of one message, in order.
#[derive(Debug, Clone, Default)]
pub struct Fields<'a>(Vec<(u64, Value<'a>)>);

impl<'a> Fields<'a> {
    /// Walks over `bytes`.
    pub fn read(mut bytes: &'a [u8]) -> Result<Self, NotProtobuf> {
        let mut fields = Vec::new();
        while !bytes.is_empty() {
            let tag = varint(&mut bytes)?;
            let value = match tag & 7 {
                0 => Value::Varint(varint(&mut bytes)?),
                1 => skip(&mut bytes, 8)?,
                2 => {
                    let length = usize::try_from(varint(&mut bytes)?).map_err(|_| NotProtobuf)?;
                    let (head, rest) = bytes.split_at_checked(length).ok_or(NotProtobuf)?;
                    bytes = rest;
                    Value::Bytes(head)
                }
                5 => skip(&mut bytes, 4)?,
                _ => return Err(NotProtobuf),
            };
            if tag >> 3 == 0 {
                return Err(NotProtobuf);
            }
            fields.push((tag >> 3, value));
        }
        Ok(Self(fields))
    }

    /// The last value of a field, which is the one that counts.
    fn last(&self, number: u64) -> Option<Value<'a>> {
        self.0.iter().rev().find(|(n, _)| *n == number).map(|(_, value)| *value)
    }

    /// A number; 0 when absent.
    pub fn number(&self, number: u64) -> u64 {
        match self.last(number) {
            Some(Value::Varint(value)) => value,
            _ => 0,
        }
    }

    /// An `int64`; 0 when absent.
    pub fn signed(&self, number: u64) -> i64 {
        self.number(number).cast_signed()
    }

    /// A `sint64`; 0 when absent.
    pub fn zigzag(&self, number: u64) -> i64 {
        let raw = self.number(number);
        (raw >> 1).cast_signed() ^ -(raw & 1).cast_signed()
    }

    /// A text; empty when absent.
    pub fn text(&self, number: u64) -> Result<String, NotProtobuf> {
        match self.last(number) {
            Some(Value::Bytes(bytes)) => {
                std::str::from_utf8(bytes).map(str::to_owned).map_err(|_| NotProtobuf)
            }
            Some(_) => Err(NotProtobuf),
            None => Ok(String::new()),
        }
    }

    /// A message inside.
    pub fn message(&self, number: u64) -> Result<Option<Self>, NotProtobuf> {
        match self.last(number) {
            Some(Value::Bytes(bytes)) => Self::read(bytes).map(Some),
            Some(_) => Err(NotProtobuf),
            None => Ok(None),
        }
    }
}

fn varint(bytes: &mut &[u8]) -> Result<u64, NotProtobuf> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first().ok_or(NotProtobuf)?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(NotProtobuf)
}

fn skip<'a>(bytes: &mut &'a [u8], count: usize) -> Result<Value<'a>, NotProtobuf> {
    let (_, rest) = bytes.split_at_checked(count).ok_or(NotProtobuf)?;
    *bytes = rest;
    Ok(Value::Fixed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read_by_number_and_the_last_one_counts() {
        // 1: 150, 2: "ab", 5: fixed64, 1: 3, 4: zigzag -2
        let bytes = [8, 150, 1, 18, 2, b'a', b'b', 41, 0, 0, 0, 0, 0, 0, 0, 0, 8, 3, 32, 3];
        let fields = Fields::read(&bytes).unwrap();
        assert_eq!(fields.number(1), 3);
        assert_eq!(fields.text(2).unwrap(), "ab");
        assert_eq!(fields.zigzag(4), -2);
        assert_eq!(fields.number(9), 0);
    }

    #[test]
    fn bytes_that_end_early_or_have_no_wire_type_are_refused() {
        for bytes in [&[8][..], &[18, 5, b'a'], &[11], &[41, 0], &[0, 0]] {
            assert_eq!(Fields::read(bytes).err(), Some(NotProtobuf), "{bytes:?}");
        }
    }
}
