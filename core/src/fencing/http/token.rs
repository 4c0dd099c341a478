//! The header's value.

use std::fmt;
use std::str::FromStr;

use super::field::{self, Field};
use crate::fence::Fence;
use crate::fencing::MAX_RESOURCE_BYTES;

/// Why a header's value cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HeaderError {
    /// It is no structured field, or more than one.
    #[error(
        "the header fencing-token cannot be read at byte {at}: expected {expected}; write it once, like \
         fencing-token: \"1795425306933629\";resource=\"invoice/42\""
    )]
    Malformed {
        /// Where, in bytes.
        at: usize,
        /// What should be there.
        expected: &'static str,
    },
    /// The number is none that a store mints.
    #[error(
        "the header fencing-token has no fence in it: give digits in quotes, from 0 to 9007199254740991"
    )]
    Number,
    /// It names no resource.
    #[error("the header fencing-token names no resource: append ;resource=\"...\"")]
    NoResource,
    /// The resource's name is longer than any.
    #[error(
        "the resource of a fencing-token has {bytes} bytes: at most {MAX_RESOURCE_BYTES} are allowed"
    )]
    TooLong {
        /// Its length.
        bytes: usize,
    },
}

/// A resource and a fence of it, as the header says them.
///
/// ```
/// use leasehold_core::{Fence, fencing::http::FencingToken};
/// let token = FencingToken::new("invoice/42", Fence::new(1_795_425_306_933_629))?;
/// assert_eq!(token.to_string(), r#""1795425306933629";resource="invoice/42""#);
/// assert_eq!(FencingToken::parse(token.to_string().as_bytes())?, token);
/// # Ok::<(), leasehold_core::fencing::http::HeaderError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FencingToken {
    resource: String,
    fence: Fence,
}

impl FencingToken {
    /// The fence of a grant of `resource`, such as [`Hold::name`](crate::Hold::name).
    ///
    /// # Errors
    /// [`HeaderError::NoResource`] for an empty name, [`HeaderError::TooLong`], and [`HeaderError::Number`] for a fence
    /// above [`Fence::MAX`].
    pub fn new(resource: impl fmt::Display, fence: Fence) -> Result<Self, HeaderError> {
        let resource = resource.to_string();
        let bytes = resource.len();
        match bytes {
            0 => Err(HeaderError::NoResource),
            _ if bytes > MAX_RESOURCE_BYTES => Err(HeaderError::TooLong { bytes }),
            _ if fence > Fence::MAX => Err(HeaderError::Number),
            _ => Ok(Self { resource, fence }),
        }
    }

    /// Reads a header's value. Parameters other than `resource` are passed over.
    ///
    /// # Errors
    /// [`HeaderError`]; also for two values, as of a header that came twice.
    pub fn parse(value: &[u8]) -> Result<Self, HeaderError> {
        let Field { item, resource } = field::parse(value)?;
        let digits = (1..=16).contains(&item.len()) && item.bytes().all(|b| b.is_ascii_digit());
        let number = item.parse().ok().filter(|_| digits);
        let fence = number.map(Fence::new).ok_or(HeaderError::Number)?;
        Self::new(resource.ok_or(HeaderError::NoResource)?, fence)
    }

    /// The resource.
    pub fn resource(&self) -> &str {
        &self.resource
    }

    /// The fence.
    pub fn fence(&self) -> Fence {
        self.fence
    }
}

/// The header's value: visible ASCII only, whatever the resource is called.
impl fmt::Display for FencingToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\";resource=", self.fence)?;
        field::write_text(f, &self.resource)
    }
}

impl FromStr for FencingToken {
    type Err = HeaderError;

    fn from_str(value: &str) -> Result<Self, HeaderError> {
        Self::parse(value.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(value: &str) -> Result<(String, u64), HeaderError> {
        let token = FencingToken::parse(value.as_bytes())?;
        Ok((token.resource().to_owned(), token.fence().get()))
    }

    proptest! {
        #[test]
        fn every_name_and_fence_comes_back_as_it_was(name in any::<String>(), fence in 0..=Fence::MAX.get()) {
            prop_assume!(!name.is_empty() && name.len() <= MAX_RESOURCE_BYTES);
            let token = FencingToken::new(&name, Fence::new(fence)).unwrap();
            let value = token.to_string();
            prop_assert!(value.bytes().all(|byte| (0x20..0x7f).contains(&byte)), "{}", value);
            prop_assert_eq!(FencingToken::parse(value.as_bytes()), Ok(token));
        }

        #[test]
        fn no_value_makes_it_panic(value in any::<Vec<u8>>()) {
            drop(FencingToken::parse(&value));
        }
    }

    #[test]
    fn structured_fields_are_read_as_rfc_9651_says() {
        let read = |resource: &str, fence| Ok((resource.to_owned(), fence));
        assert_eq!(parse(r#"  "7"; resource="a/b"  "#), read("a/b", 7));
        assert_eq!(parse(r#""7";resource="say \"\\\"""#), read(r#"say "\""#, 7));
        assert_eq!(parse(r#""7";resource=%"caf%c3%a9""#), read("café", 7));
        let others = r#""7";a;b=12;c=?1;d=tok/en;e="x;y";f=:YQ==:;resource="r";g=1.5"#;
        assert_eq!(parse(others), read("r", 7));
        // The last of a name counts.
        assert_eq!(parse(r#""7";resource="a";resource="b""#), read("b", 7));
        let largest = r#""9007199254740991";resource="r""#;
        assert_eq!(parse(largest), read("r", Fence::MAX.get()));
    }

    #[test]
    fn a_value_that_is_none_is_refused_and_says_why() {
        use HeaderError::{Malformed, NoResource, Number, TooLong};
        for value in [
            "",
            "7",
            r#""7"#,
            r#""7";resource="a", "8";resource="a""#,
            r#""7";resource=%"caf%C3%A9""#,
            r#""7";resource=%"%ff""#,
            r#""7";resource=token"#,
            r#""7";resource"#,
            r#""7" ;resource="a""#,
            r#""7";resource="a\b""#,
            r#""7";Resource="a""#,
            "\"7\";resource=\"caf\u{e9}\"",
        ] {
            assert!(matches!(parse(value), Err(Malformed { .. })), "{value}");
        }
        for fence in [
            "",
            "-7",
            "+7",
            "7.0",
            "0x7",
            "9007199254740992",
            "00000000000000007",
        ] {
            assert_eq!(parse(&format!("\"{fence}\";resource=\"a\"")), Err(Number));
        }
        assert_eq!(parse(r#""7""#), Err(NoResource));
        assert_eq!(parse(r#""7";resource="""#), Err(NoResource));
        let long = "x".repeat(MAX_RESOURCE_BYTES + 1);
        let bytes = long.len();
        assert_eq!(
            parse(&format!("\"7\";resource=\"{long}\"")),
            Err(TooLong { bytes })
        );
        let error = parse("7").unwrap_err().to_string();
        assert!(
            error.contains("at byte 0: expected a string in quotes"),
            "{error}"
        );
    }
}
