//! Which attribute it is, and how many calls it lets run at a time.

use proc_macro2::Span;
use syn::ext::IdentExt;
use syn::parse::ParseStream;
use syn::{Error, Expr, Ident, Lit, Result, Token};

use crate::problems::Problems;

const KNOWN: &str = "after the name there are `ttl = \"30s\"`, `wait = \"5s\"`, `max_hold = \"1h\"`, `coord = expression`, \
                     `lease`, `shared` and `crate = path`";

const KNOWN_OF_PERMITS: &str = "after the name and the number of permits there are `permits = 2`, `revision = 1`, `ttl = \"30s\"`, \
                                `wait = \"5s\"`, `max_hold = \"1h\"`, `coord = expression`, `permit` and `crate = path`";

/// Which attribute it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Attribute {
    Locked,
    Permit,
}

impl Attribute {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Attribute::Locked => "locked",
            Attribute::Permit => "permit",
        }
    }

    /// What the body calls what it runs under, and the option that names it otherwise.
    pub(crate) fn guard(self) -> &'static str {
        match self {
            Attribute::Locked => "lease",
            Attribute::Permit => "permit",
        }
    }

    /// The options there are.
    pub(crate) fn known(self) -> &'static str {
        match self {
            Attribute::Locked => KNOWN,
            Attribute::Permit => KNOWN_OF_PERMITS,
        }
    }
}

/// How many calls may run at a time.
pub(crate) enum How {
    /// One.
    Alone,
    /// Any number, beside those that lock alone.
    Shared,
    /// As many as there are permits for.
    Permits(Box<Permits>),
}

pub(crate) struct Permits {
    /// How many there are.
    pub(crate) of: Expr,
    /// How many a call holds, if not one.
    pub(crate) each: Option<Expr>,
    pub(crate) revision: Option<Expr>,
}

/// `, 20`
pub(crate) fn parse_size(input: ParseStream<'_>, problems: &mut Problems) -> Result<Expr> {
    const EXPECTED: &str = "the second argument is how many permits there are for the whole fleet: #[permit(\"stripe\", 20)]";
    if input.is_empty() {
        return Err(Error::new(Span::call_site(), EXPECTED));
    }
    input.parse::<Token![,]>()?;
    let is_option = input.peek(Ident::peek_any) && input.peek2(Token![=]);
    if input.is_empty() || is_option {
        return Err(input.error(EXPECTED));
    }
    let size = input.parse()?;
    if number(&size) == Some(0) {
        problems.add(
            &size,
            "a semaphore of 0 permits lets nobody in, ever: give it at least 1",
        );
    }
    Ok(size)
}

/// A number that is written out.
pub(crate) fn number(expr: &Expr) -> Option<u64> {
    let Expr::Lit(literal) = expr else {
        return None;
    };
    let Lit::Int(number) = &literal.lit else {
        return None;
    };
    number.base10_parse().ok()
}
