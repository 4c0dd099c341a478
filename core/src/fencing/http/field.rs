//! What is needed of structured fields (RFC 9651): an item that is a string, with parameters.

use std::fmt::{self, Write};

use super::token::HeaderError;

/// An item, and the parameter of it that matters.
pub(super) struct Field {
    pub(super) item: String,
    pub(super) resource: Option<String>,
}

/// A string (section 3.3.3) if it is of visible ASCII, else a display string (3.3.8).
pub(super) fn write_text(to: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    let plain = text.bytes().all(is_visible);
    to.write_str(if plain { "\"" } else { "%\"" })?;
    for byte in text.bytes() {
        match byte {
            b'"' | b'\\' if plain => write!(to, "\\{}", char::from(byte))?,
            b'"' | b'%' if !plain => write!(to, "%{byte:02x}")?,
            _ if is_visible(byte) => to.write_char(char::from(byte))?,
            _ => write!(to, "%{byte:02x}")?,
        }
    }
    to.write_char('"')
}

pub(super) fn parse(value: &[u8]) -> Result<Field, HeaderError> {
    let mut input = Input { value, at: 0 };
    input.spaces();
    let item = input.string()?;
    let mut resource = None;
    while input.take(b';') {
        input.spaces();
        let key = input.key()?;
        match (key, input.take(b'=')) {
            (b"resource", true) => resource = Some(input.text()?),
            (b"resource", false) => return Err(input.expected("`=` and a string in quotes")),
            (_, true) => input.other()?,
            (_, false) => {}
        }
    }
    input.spaces();
    if input.peek().is_some() {
        return Err(input.expected("`;` or the end"));
    }
    Ok(Field { item, resource })
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

    fn spaces(&mut self) {
        self.while_(|byte| byte == b' ');
    }

    fn while_(&mut self, is: impl Fn(u8) -> bool) -> &'a [u8] {
        let rest = self.value.get(self.at..).unwrap_or_default();
        let length = rest.iter().take_while(|&&byte| is(byte)).count();
        self.at += length;
        &rest[..length]
    }

    fn expected(&self, expected: &'static str) -> HeaderError {
        HeaderError::Malformed {
            at: self.at,
            expected,
        }
    }

    fn key(&mut self) -> Result<&'a [u8], HeaderError> {
        match self.peek() {
            Some(b'a'..=b'z' | b'*') => Ok(self.while_(|byte| {
                byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-.*".contains(&byte)
            })),
            _ => Err(self.expected("a parameter's name in lower case")),
        }
    }

    /// A string or a display string.
    fn text(&mut self) -> Result<String, HeaderError> {
        if self.take(b'%') {
            return self.display_string();
        }
        self.string()
    }

    fn string(&mut self) -> Result<String, HeaderError> {
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

    fn display_string(&mut self) -> Result<String, HeaderError> {
        if !self.take(b'"') {
            return Err(self.expected("a string in quotes"));
        }
        let mut bytes = Vec::new();
        loop {
            match self.next() {
                Some(b'"') => break,
                Some(b'%') => bytes.push(self.hex()? * 16 + self.hex()?),
                Some(byte) if is_visible(byte) => bytes.push(byte),
                Some(_) => return Err(self.expected("visible ASCII, and `%` before two digits")),
                None => return Err(self.expected("the closing quote")),
            }
        }
        String::from_utf8(bytes).map_err(|_| self.expected("UTF-8 in the string before"))
    }

    fn hex(&mut self) -> Result<u8, HeaderError> {
        match self.next() {
            Some(digit @ b'0'..=b'9') => Ok(digit - b'0'),
            Some(digit @ b'a'..=b'f') => Ok(digit - b'a' + 10),
            _ => Err(self.expected("a hexadecimal digit in lower case")),
        }
    }

    /// A value that does not matter: a string, or what has neither spaces nor separators in it.
    fn other(&mut self) -> Result<(), HeaderError> {
        if matches!(self.peek(), Some(b'"' | b'%')) {
            return self.text().map(drop);
        }
        let bare = self.while_(|byte| is_visible(byte) && !b" ;,\"".contains(&byte));
        match bare {
            [] => Err(self.expected("the parameter's value")),
            _ => Ok(()),
        }
    }
}
