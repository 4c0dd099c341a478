//! What is needed of structured fields (RFC 9651): lists of strings, with parameters.

use std::fmt::{self, Write};

use super::base64;

/// The largest integer of a structured field (section 3.3.1).
pub(super) const LARGEST: u64 = 999_999_999_999_999;
/// No server has more limits, and no name or key of one is longer.
const ITEMS: usize = 64;
const BYTES: usize = 16 * 1024;

/// Why a field cannot be read. Such a field is to be ignored (section 7 of the draft).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FieldError {
    /// It is no list of strings with parameters.
    #[error("the field is malformed at byte {at}: expected {expected}")]
    Malformed {
        /// Where.
        at: usize,
        /// What was expected there.
        expected: &'static str,
    },
    /// A parameter that is required is missing, or one has a value that cannot be meant.
    #[error("item \"{item}\" of the field needs the parameter `{parameter}`: {expected}")]
    Parameter {
        /// The item.
        item: String,
        /// The parameter.
        parameter: &'static str,
        /// What its value is.
        expected: &'static str,
    },
    /// It is longer than fields of this kind are.
    #[error("the field is too long: at most {ITEMS} items and {BYTES} bytes are read")]
    TooLong,
}

/// A string with parameters.
#[derive(Debug, Default)]
pub(super) struct Item {
    pub(super) name: String,
    parameters: Vec<(String, Value)>,
}

/// The value of a parameter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    Integer(i64),
    Text(String),
    Bytes(Vec<u8>),
    /// One of a type that no parameter here has.
    Other,
}

impl Item {
    /// Of several with one name the last one counts (section 4.2.3.2).
    fn get(&self, parameter: &str) -> Option<&Value> {
        let mut all = self.parameters.iter().rev();
        all.find(|(name, _)| name == parameter)
            .map(|(_, value)| value)
    }

    fn wrong<T>(&self, parameter: &'static str, expected: &'static str) -> Result<T, FieldError> {
        Err(FieldError::Parameter {
            item: self.name.clone(),
            parameter,
            expected,
        })
    }

    /// An integer that is not negative.
    pub(super) fn count(&self, parameter: &'static str) -> Result<Option<u64>, FieldError> {
        let expected = "an integer that is not negative";
        match self.get(parameter) {
            None => Ok(None),
            Some(Value::Integer(value)) => match u64::try_from(*value) {
                Ok(value) => Ok(Some(value)),
                Err(_) => self.wrong(parameter, expected),
            },
            Some(_) => self.wrong(parameter, expected),
        }
    }

    pub(super) fn required(&self, parameter: &'static str) -> Result<u64, FieldError> {
        match self.count(parameter)? {
            Some(value) => Ok(value),
            None => self.wrong(parameter, "it is required"),
        }
    }

    /// Seconds, and not none.
    pub(super) fn window(&self, parameter: &'static str) -> Result<Option<u64>, FieldError> {
        match self.count(parameter)? {
            Some(0) => self.wrong(parameter, "a number of seconds that is not 0"),
            window => Ok(window),
        }
    }

    pub(super) fn text(&self, parameter: &'static str) -> Result<Option<&str>, FieldError> {
        match self.get(parameter) {
            None => Ok(None),
            Some(Value::Text(text)) => Ok(Some(text)),
            Some(_) => self.wrong(parameter, "a string in quotes"),
        }
    }

    pub(super) fn bytes(&self, parameter: &'static str) -> Result<Option<Vec<u8>>, FieldError> {
        match self.get(parameter) {
            None => Ok(None),
            Some(Value::Bytes(bytes)) => Ok(Some(bytes.clone())),
            Some(_) => self.wrong(parameter, "a byte sequence, base 64 between colons"),
        }
    }
}

/// A string (section 3.3.3). What it cannot have, beyond visible ASCII, is written as `%` and two digits.
pub(super) fn write_string(to: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    to.write_char('"')?;
    for byte in text.bytes() {
        match byte {
            b'"' | b'\\' => write!(to, "\\{}", char::from(byte))?,
            _ if is_visible(byte) => to.write_char(char::from(byte))?,
            _ => write!(to, "%{byte:02x}")?,
        }
    }
    to.write_char('"')
}

pub(super) fn write_count(to: &mut fmt::Formatter<'_>, name: &str, count: u64) -> fmt::Result {
    write!(to, ";{name}={}", count.min(LARGEST))
}

pub(super) fn write_bytes(to: &mut fmt::Formatter<'_>, name: &str, bytes: &[u8]) -> fmt::Result {
    write!(to, ";{name}=:")?;
    base64::write(to, bytes)?;
    to.write_char(':')
}

/// Section 4.2.1. A field that comes in several lines is one, with the lines joined by commas.
pub(super) fn parse(value: &[u8]) -> Result<Vec<Item>, FieldError> {
    if value.len() > BYTES {
        return Err(FieldError::TooLong);
    }
    let mut input = Input { value, at: 0 };
    let mut items = Vec::new();
    input.skip(b" ");
    while input.peek().is_some() {
        if items.len() == ITEMS {
            return Err(FieldError::TooLong);
        }
        items.push(input.item()?);
        input.skip(b" \t");
        if input.peek().is_none() {
            break;
        }
        if !input.take(b',') {
            return Err(input.expected("`;`, `,` or the end"));
        }
        input.skip(b" \t");
        if input.peek().is_none() {
            return Err(input.expected("another item after the comma"));
        }
    }
    Ok(items)
}

fn is_visible(byte: u8) -> bool {
    (0x20..0x7f).contains(&byte)
}

struct Input<'a> {
    value: &'a [u8],
    at: usize,
}

impl<'a> Input<'a> {
    fn peek(&self) -> Option<u8> {
        self.value.get(self.at).copied()
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn skip(&mut self, bytes: &[u8]) {
        self.while_(|byte| bytes.contains(&byte));
    }

    fn while_(&mut self, is: impl Fn(u8) -> bool) -> &'a [u8] {
        let rest = self.value.get(self.at..).unwrap_or_default();
        let length = rest.iter().take_while(|&&byte| is(byte)).count();
        self.at += length;
        &rest[..length]
    }

    fn expected(&self, expected: &'static str) -> FieldError {
        let at = self.at;
        FieldError::Malformed { at, expected }
    }

    fn item(&mut self) -> Result<Item, FieldError> {
        let name = self.string()?;
        let mut parameters = Vec::new();
        while self.take(b';') {
            self.skip(b" ");
            let key = self.key()?;
            let value = if self.take(b'=') {
                self.value()?
            } else {
                Value::Other
            };
            parameters.push((key, value));
        }
        Ok(Item { name, parameters })
    }

    fn key(&mut self) -> Result<String, FieldError> {
        match self.peek() {
            Some(b'a'..=b'z' | b'*') => {
                let key = self.while_(|byte| {
                    byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-.*".contains(&byte)
                });
                Ok(String::from_utf8_lossy(key).into_owned())
            }
            _ => Err(self.expected("a parameter's name in lower case")),
        }
    }

    fn value(&mut self) -> Result<Value, FieldError> {
        match self.peek() {
            Some(b'"') => self.string().map(Value::Text),
            Some(b':') => self.bytes().map(Value::Bytes),
            Some(b'-' | b'0'..=b'9') => self.number(),
            // A date, a boolean, a token or a display string.
            Some(b'@') => {
                self.at += 1;
                self.number().map(|_| Value::Other)
            }
            Some(b'?') => {
                self.at += 1;
                if self.take(b'0') || self.take(b'1') {
                    return Ok(Value::Other);
                }
                Err(self.expected("`0` or `1`"))
            }
            Some(b'%') => {
                self.at += 1;
                self.string().map(|_| Value::Other)
            }
            Some(b'*' | b'A'..=b'Z' | b'a'..=b'z') => {
                self.while_(|byte| {
                    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~:/".contains(&byte)
                });
                Ok(Value::Other)
            }
            _ => Err(self.expected("the parameter's value")),
        }
    }

    fn string(&mut self) -> Result<String, FieldError> {
        if !self.take(b'"') {
            return Err(self.expected("a string in quotes"));
        }
        let mut text = String::new();
        loop {
            match self.next() {
                Some(b'"') => return Ok(text),
                Some(b'\\') if matches!(self.peek(), Some(b'"' | b'\\')) => {
                    text.extend(self.next().map(char::from));
                }
                Some(byte) if is_visible(byte) && byte != b'\\' => text.push(char::from(byte)),
                Some(_) => {
                    return Err(self.expected("visible ASCII, with `\\` only before `\"` and `\\`"));
                }
                None => return Err(self.expected("the closing quote")),
            }
        }
    }

    fn bytes(&mut self) -> Result<Vec<u8>, FieldError> {
        self.at += 1;
        let text = self.while_(|byte| byte != b':');
        let bytes = base64::read(text);
        match bytes {
            Some(bytes) if self.take(b':') => Ok(bytes),
            _ => Err(self.expected("base 64, and a colon at its end")),
        }
    }

    /// An integer of at most 15 digits; or a decimal, which no parameter here is.
    fn number(&mut self) -> Result<Value, FieldError> {
        let is_negative = self.take(b'-');
        let digits = self.while_(|byte| byte.is_ascii_digit());
        if digits.is_empty() || digits.len() > 15 {
            return Err(self.expected("a number of 1 to 15 digits"));
        }
        if self.take(b'.') {
            let fraction = self.while_(|byte| byte.is_ascii_digit());
            if digits.len() > 12 || !(1..=3).contains(&fraction.len()) {
                return Err(
                    self.expected("a decimal of at most 12 digits, and 1 to 3 after the point")
                );
            }
            return Ok(Value::Other);
        }
        let value = digits
            .iter()
            .fold(0, |value, digit| value * 10 + i64::from(digit - b'0'));
        Ok(Value::Integer(if is_negative { -value } else { value }))
    }
}
