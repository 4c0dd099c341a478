//! What is in the parentheses of the attribute.

use leasehold_cron::Schedule;
use proc_macro2::Span;
use syn::ext::IdentExt;
use syn::parse::{Parse, ParseStream};
use syn::{Error, Ident, LitStr, Path, Result, Token};

/// The longest name a job may have, in bytes.
const MAX_NAME: usize = 512;

/// The arguments, each of them valid.
pub(crate) struct Args {
    pub(crate) expression: LitStr,
    pub(crate) name: Option<LitStr>,
    /// Where the scheduler is, if not in `::leasehold`.
    pub(crate) krate: Option<Path>,
}

impl Parse for Args {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let mut args = Self {
            expression: parse_expression(input)?,
            name: None,
            krate: None,
        };
        while !input.is_empty() {
            input.parse::<Token![,]>()?;
            if !input.is_empty() {
                args.parse_next(input)?;
            }
        }
        Ok(args)
    }
}

impl Args {
    fn parse_next(&mut self, input: ParseStream<'_>) -> Result<()> {
        const KNOWN: &str =
            "after the cron expression there are `name = \"...\"` and `crate = path`";
        let here = input.span();
        let key = Ident::parse_any(input).map_err(|_| Error::new(here, KNOWN))?;
        let twice = match key.to_string().as_str() {
            "name" => {
                input.parse::<Token![=]>()?;
                let name: LitStr = input.parse()?;
                if let Some(problem) = problem_with(&name.value()) {
                    return Err(Error::new(name.span(), problem));
                }
                self.name.replace(name).is_some()
            }
            "crate" => {
                input.parse::<Token![=]>()?;
                self.krate
                    .replace(input.call(Path::parse_mod_style)?)
                    .is_some()
            }
            _ => {
                let message = format!("unknown argument `{key}`: {KNOWN}");
                return Err(Error::new(key.span(), message));
            }
        };
        if twice {
            return Err(Error::new(here, format!("`{key}` is given twice")));
        }
        Ok(())
    }
}

fn parse_expression(input: ParseStream<'_>) -> Result<LitStr> {
    const EXPECTED: &str = "the first argument is the cron expression, a string literal: #[singleton_job(\"*/5 * * * *\")]";
    let expression: LitStr = if input.is_empty() {
        return Err(Error::new(Span::call_site(), EXPECTED));
    } else {
        let here = input.span();
        input.parse().map_err(|_| Error::new(here, EXPECTED))?
    };
    // An error can underline the literal as a whole only, so its text has carets of its own.
    Schedule::parse(&expression.value()).map_err(|error| Error::new(expression.span(), error))?;
    Ok(expression)
}

fn problem_with(name: &str) -> Option<String> {
    if name.is_empty() {
        return Some("the name of a job is not empty".to_owned());
    }
    if name.chars().any(char::is_control) {
        return Some("the name of a job has no control characters".to_owned());
    }
    (name.len() > MAX_NAME).then(|| {
        format!(
            "the name of a job has at most {MAX_NAME} bytes, this one has {}",
            name.len()
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(args: &str) -> String {
        match syn::parse_str::<Args>(args) {
            Ok(_) => panic!("`{args}` was accepted"),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn an_expression_and_a_name() {
        let args: Args = syn::parse_str(r#""@daily", name = "report","#).expect("valid");
        assert_eq!(args.expression.value(), "@daily");
        assert_eq!(args.name.expect("a name").value(), "report");
    }

    #[test]
    fn the_name_may_be_left_out() {
        for args in [r#""@daily""#, r#""@daily","#] {
            let args: Args = syn::parse_str(args).expect("valid");
            assert!(args.name.is_none());
        }
    }

    #[test]
    fn the_expression_is_a_literal_that_comes_first() {
        for args in ["", "EVERY_DAY", "5", r#"name = "report", "@daily""#] {
            assert!(
                refused(args).starts_with("the first argument is the cron expression"),
                "{args}"
            );
        }
    }

    #[test]
    fn the_text_for_a_wrong_expression_has_the_carets() {
        assert_eq!(
            refused(r#""61 * * * *""#),
            "minute `61` is out of range: allowed is 0-59\n  61 * * * *\n  ^^"
        );
    }

    #[test]
    fn a_name_is_short_and_printable() {
        let longest = "x".repeat(512);
        let fits = format!(r#""@daily", name = "{longest}""#);
        assert!(syn::parse_str::<Args>(&fits).is_ok());
        for (name, problem) in [
            ("", "not empty"),
            ("\\n", "no control characters"),
            ("x\\u{7f}", "no control characters"),
            (&format!("{longest}x"), "at most 512 bytes"),
        ] {
            let message = refused(&format!(r#""@daily", name = "{name}""#));
            assert!(message.contains(problem), "{message}");
        }
    }

    #[test]
    fn nothing_else_is_known_and_nothing_comes_twice() {
        assert_eq!(
            refused(r#""@daily", zone = "UTC""#),
            "unknown argument `zone`: after the cron expression there are `name = \"...\"` and `crate = path`"
        );
        assert_eq!(
            refused(r#""@daily", "@hourly""#),
            "after the cron expression there are `name = \"...\"` and `crate = path`"
        );
        assert_eq!(
            refused(r#""@daily", name = "a", name = "b""#),
            "`name` is given twice"
        );
    }
}
