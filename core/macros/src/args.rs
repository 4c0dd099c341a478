//! What is in the parentheses of the attribute.

use std::time::Duration;

use proc_macro2::Span;
use syn::ext::IdentExt;
use syn::parse::{Parse, ParseStream};
use syn::{Error, Expr, Ident, LitStr, Path, Result, Token};

use crate::how::{Attribute, How, Permits, number, parse_size};
use crate::name::Name;
use crate::problems::Problems;

/// A lease that is shorter leaves nothing beyond the margin that its guard keeps back.
const SHORTEST_TTL: Duration = Duration::from_millis(20);
/// What no namespace allows, and no wait is cared for beyond.
const LONGEST_TTL: Duration = Duration::from_secs(366 * 24 * 3600);
const LONGEST_WAIT: Duration = Duration::from_secs(30 * 24 * 3600);
/// If none is given.
const DEFAULT_TTL: Duration = Duration::from_secs(30);

/// The arguments, each of them valid.
pub(crate) struct Args {
    pub(crate) name: Name,
    pub(crate) ttl: Option<Duration>,
    pub(crate) wait: Option<Duration>,
    pub(crate) max_hold: Option<Duration>,
    /// Where the coordinator is, if in no argument.
    pub(crate) coord: Option<Expr>,
    /// What the body calls what it runs under.
    pub(crate) lease: Option<Ident>,
    pub(crate) how: How,
    /// Where leasehold is, if not in `::leasehold`.
    pub(crate) krate: Option<Path>,
}

struct Options {
    attribute: Attribute,
    ttl: Option<(LitStr, Duration)>,
    wait: Option<(LitStr, Duration)>,
    max_hold: Option<(LitStr, Duration)>,
    coord: Option<Expr>,
    lease: Option<Ident>,
    shared: Option<()>,
    each: Option<Expr>,
    revision: Option<Expr>,
    krate: Option<Path>,
}

impl Parse for Args {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        Self::of(Attribute::Locked, input)
    }
}

impl Args {
    pub(crate) fn attribute(&self) -> Attribute {
        match self.how {
            How::Alone | How::Shared => Attribute::Locked,
            How::Permits(_) => Attribute::Permit,
        }
    }

    pub(crate) fn of(attribute: Attribute, input: ParseStream<'_>) -> Result<Self> {
        let mut problems = Problems::default();
        let literal = parse_literal(attribute, input)?;
        let name = problems.settle(match attribute {
            Attribute::Locked => Name::parse(literal),
            Attribute::Permit => Name::parse_of_semaphore(literal),
        });
        let size = match attribute {
            Attribute::Locked => None,
            Attribute::Permit => Some(parse_size(input, &mut problems)?),
        };
        let mut options = Options::of(attribute);
        while !input.is_empty() {
            input.parse::<Token![,]>()?;
            if !input.is_empty()
                && let Err(error) = options.parse_next(input, &mut problems)
            {
                // What comes after it can't be read.
                problems.take(error);
                break;
            }
        }
        options.check(size.as_ref(), &mut problems);
        let known = problems.into_result();
        let Some(name) = name else {
            known?;
            return Err(Error::new(Span::call_site(), attribute.known()));
        };
        known?;
        let given = |option: Option<(LitStr, Duration)>| option.map(|(_, duration)| duration);
        Ok(Self {
            name,
            ttl: given(options.ttl),
            wait: given(options.wait),
            max_hold: given(options.max_hold),
            coord: options.coord,
            lease: options.lease,
            how: match (size, options.shared) {
                (Some(of), _) => How::Permits(Box::new(Permits {
                    of,
                    each: options.each,
                    revision: options.revision,
                })),
                (None, Some(())) => How::Shared,
                (None, None) => How::Alone,
            },
            krate: options.krate,
        })
    }
}

fn parse_literal(attribute: Attribute, input: ParseStream<'_>) -> Result<LitStr> {
    let expected = match attribute {
        Attribute::Locked => {
            "the first argument is the name of what is locked, a string literal: #[locked(\"invoice/{id}\")]"
        }
        Attribute::Permit => {
            "the first argument is the name of the semaphore, a string literal: #[permit(\"stripe\", 20)]"
        }
    };
    if input.is_empty() {
        return Err(Error::new(Span::call_site(), expected));
    }
    let here = input.span();
    input.parse().map_err(|_| Error::new(here, expected))
}

impl Options {
    fn of(attribute: Attribute) -> Self {
        Self {
            attribute,
            ttl: None,
            wait: None,
            max_hold: None,
            coord: None,
            lease: None,
            shared: None,
            each: None,
            revision: None,
            krate: None,
        }
    }

    fn parse_next(&mut self, input: ParseStream<'_>, problems: &mut Problems) -> Result<()> {
        let here = input.span();
        let known = self.attribute.known();
        let key = Ident::parse_any(input).map_err(|_| Error::new(here, known))?;
        let is_permit = self.attribute == Attribute::Permit;
        let twice = match key.to_string().as_str() {
            "ttl" => set(&mut self.ttl, parse_duration(input, problems)?),
            "wait" => set(&mut self.wait, parse_duration(input, problems)?),
            "max_hold" => set(&mut self.max_hold, parse_duration(input, problems)?),
            "coord" => {
                input.parse::<Token![=]>()?;
                self.coord.replace(input.parse()?).is_some()
            }
            word if word == self.attribute.guard() => {
                let name = if input.peek(Token![=]) {
                    input.parse::<Token![=]>()?;
                    input.parse()?
                } else {
                    key.clone()
                };
                self.lease.replace(name).is_some()
            }
            "shared" if !is_permit => self.shared.replace(()).is_some(),
            "permits" if is_permit => {
                input.parse::<Token![=]>()?;
                self.each.replace(input.parse()?).is_some()
            }
            "revision" if is_permit => {
                input.parse::<Token![=]>()?;
                self.revision.replace(input.parse()?).is_some()
            }
            "crate" => {
                input.parse::<Token![=]>()?;
                let path = input.call(Path::parse_mod_style)?;
                self.krate.replace(path).is_some()
            }
            _ => {
                let message = format!("unknown option `{key}`: {known}");
                return Err(Error::new(key.span(), message));
            }
        };
        if twice {
            problems.add(&key, format!("`{key}` is given twice"));
        }
        Ok(())
    }

    /// What cannot be meant.
    fn check(&self, size: Option<&Expr>, problems: &mut Problems) {
        if let Some(each) = &self.each
            && let Some(permits) = number(each)
        {
            let of = size.and_then(number);
            if permits == 0 {
                problems.add(
                    each,
                    "a call that holds 0 permits is not limited: it holds at least 1",
                );
            } else if let Some(of) = of.filter(|of| *of < permits) {
                let message = format!(
                    "{permits} of {of} permits can never be had: ask for less, or have more"
                );
                problems.add(each, message);
            }
        }
        let ttl = self.ttl.as_ref().map_or(DEFAULT_TTL, |(_, ttl)| *ttl);
        if let Some((text, ttl)) = &self.ttl {
            if *ttl < SHORTEST_TTL {
                problems.add(text, format!("a `ttl` of {ttl:?} cannot be used: it is 20ms at the least, and seconds as a rule"));
            } else if *ttl > LONGEST_TTL {
                problems.add(text, "no lease has a `ttl` of more than 366d; a body that takes long needs none, its lease is renewed");
            }
        }
        if let Some((text, wait)) = &self.wait
            && *wait > LONGEST_WAIT
        {
            problems.add(text, format!("a `wait` of {wait:?} is more than a store keeps a place in its queue: 30d at most"));
        }
        if let Some((text, max_hold)) = &self.max_hold
            && *max_hold < ttl
        {
            let message = format!(
                "`max_hold` is shorter than the `ttl` of {ttl:?}: the body would be stopped before its lease could end; make \
                 `ttl` shorter, or leave `max_hold` out"
            );
            problems.add(text, message);
        }
    }
}

fn set(option: &mut Option<(LitStr, Duration)>, value: Option<(LitStr, Duration)>) -> bool {
    value.is_some_and(|value| option.replace(value).is_some())
}

/// `= "30s"`; nothing if it is none, and that is noted.
fn parse_duration(
    input: ParseStream<'_>,
    problems: &mut Problems,
) -> Result<Option<(LitStr, Duration)>> {
    input.parse::<Token![=]>()?;
    let here = input.span();
    let text: LitStr = (input.parse()).map_err(|_| {
        Error::new(
            here,
            "a duration is a string literal, as in \"30s\" or \"1h 30m\"",
        )
    })?;
    let value = text.value();
    let duration = humantime::parse_duration(&value).map_err(|_| {
        let message = format!("`{value}` is no duration: write it like `30s`, `250ms` or `1h 30m`");
        Error::new(text.span(), message)
    });
    Ok(problems.settle(duration).map(|duration| (text, duration)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(args: &str) -> Vec<String> {
        match syn::parse_str::<Args>(args) {
            Ok(_) => panic!("`{args}` was accepted"),
            Err(error) => error.into_iter().map(|error| error.to_string()).collect(),
        }
    }

    #[test]
    fn a_name_and_options() {
        let args = r#""invoice/{id}", ttl = "20s", wait = "0s", max_hold = "1m", coord = self.a.b(), lease = held, crate = a::b,"#;
        let args: Args = syn::parse_str(args).expect("valid");
        assert_eq!(args.ttl, Some(Duration::from_secs(20)));
        assert_eq!(args.wait, Some(Duration::ZERO));
        assert_eq!(args.max_hold, Some(Duration::from_secs(60)));
        assert!(args.coord.is_some() && args.krate.is_some());
        assert_eq!(args.lease.expect("a name"), "held");
        let args: Args = syn::parse_str(r#""invoice/{id}", lease"#).expect("valid");
        assert_eq!(args.lease.expect("a name"), "lease");
    }

    #[test]
    fn durations_are_numbers_with_units_that_add_up() {
        for (text, millis) in [
            ("5ms", 5),
            ("30s", 30_000),
            ("30 s", 30_000),
            ("1m", 60_000),
            ("1h30m", 5_400_000),
            ("1h 30m", 5_400_000),
            ("2d", 172_800_000),
            ("0s", 0),
        ] {
            let args = format!(r#""a/b", wait = "{text}""#);
            let args: Args = syn::parse_str(&args).expect("valid");
            assert_eq!(args.wait, Some(Duration::from_millis(millis)), "{text}");
        }
        for text in [
            "",
            " ",
            "30",
            "s",
            "-1s",
            "1,5s",
            "1x",
            "1sm",
            "30S",
            "١s",
            "999999999999999999d",
        ] {
            let errors = refused(&format!(r#""a/b", wait = "{text}""#));
            assert!(
                errors[0].contains("is no duration: write it like `30s`"),
                "{errors:?}"
            );
        }
    }

    #[test]
    fn the_name_comes_first() {
        for args in ["", "NAME", "7", r#"ttl = "30s""#] {
            let errors = refused(args);
            assert!(
                errors[0].starts_with("the first argument is the name"),
                "{errors:?}"
            );
        }
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for (option, problem) in [
            (r#"ttl = "1ms""#, "20ms at the least"),
            (r#"ttl = "400d""#, "no lease has"),
            (r#"wait = "31d""#, "30d at most"),
            (r#"max_hold = "29s""#, "shorter than the `ttl` of 30s"),
            (r#"ttl = "30""#, "is no duration"),
            ("ttl = 30", "a string literal"),
            ("ttl = \"1s\", ttl = \"2s\"", "given twice"),
            ("lease, lease", "given twice"),
            (
                "retries = 3",
                "unknown option `retries`: after the name there are `ttl",
            ),
            ("7", "after the name there are"),
        ] {
            let errors = refused(&format!(r#""a/b", {option}"#));
            assert!(errors[0].contains(problem), "{option}: {errors:?}");
        }
    }

    #[test]
    fn every_problem_is_told_at_once() {
        let errors = refused(r#""invoice", ttl = "x", wait = "99d", lease, lease"#);
        assert_eq!(errors.len(), 4, "{errors:?}");
        assert_eq!(
            refused(r#""invoice", ttl = "x", retries = 3, wait = "y""#).len(),
            3
        );
    }
}
