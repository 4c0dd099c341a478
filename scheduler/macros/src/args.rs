//! What is in the parentheses of an attribute.

use leasehold_spec::Spec;
use proc_macro2::{Span, TokenStream, TokenTree};
use quote::{ToTokens, quote};
use syn::ext::IdentExt;
use syn::parse::{Parse, ParseStream};
use syn::{Error, Expr, ExprArray, ExprLit, Ident, Lit, LitStr, Path, Result, Token};

use crate::nearest::nearest;
use crate::problems::Problems;

/// The longest name a job may have, in bytes.
const MAX_NAME: usize = 512;
const KNOWN: &str = "after the cron expression there are `tz`, `dst`, `misfire`, `overlap`, `jitter`, `timeout`, `retries`, \
                     `backoff`, `on_crash`, `only_on`, `name`, `aliases` and `crate`";
/// Arguments that are no words of a specification, and how each is written.
const OTHERS: [&str; 3] = ["name", "aliases", "crate"];

/// The arguments, each of them valid.
pub(crate) struct Args {
    /// The literal with the cron expression.
    pub(crate) expression: LitStr,
    /// The specification, the expression as `schedule` included.
    pub(crate) words: Vec<Word>,
    pub(crate) name: Option<LitStr>,
    /// Former names, newest first.
    pub(crate) aliases: Vec<LitStr>,
    /// Where the scheduler is, if not in `::leasehold`.
    pub(crate) krate: Option<Path>,
}

/// A word of the specification.
pub(crate) struct Word {
    pub(crate) name: String,
    pub(crate) text: String,
    /// What is underlined if it is wrong.
    place: TokenStream,
    /// It is wrong, and that was said.
    told: bool,
}

impl Parse for Args {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        Self::parse_at(input, Span::call_site())
    }
}

impl Args {
    /// Of an attribute that stands at `place`.
    pub(crate) fn parse_at(input: ParseStream<'_>, place: Span) -> Result<Self> {
        let expression = parse_expression(input, place)?;
        let mut args = Self {
            words: vec![Word {
                name: "schedule".into(),
                text: expression.value(),
                place: expression.to_token_stream(),
                told: false,
            }],
            expression,
            name: None,
            aliases: Vec::new(),
            krate: None,
        };
        let mut problems = Problems::default();
        let mut given = Vec::new();
        while !input.is_empty() {
            let next = input.parse::<Token![,]>();
            let next = next.and_then(|_| {
                if input.is_empty() {
                    return Ok(());
                }
                args.parse_next(input, &mut given, &mut problems)
            });
            if let Err(error) = next {
                problems.take(error);
                skip_to_comma(input)?;
            }
        }
        args.check(&mut problems);
        problems.into_result()?;
        Ok(args)
    }

    fn parse_next(
        &mut self,
        input: ParseStream<'_>,
        given: &mut Vec<String>,
        problems: &mut Problems,
    ) -> Result<()> {
        let here = input.span();
        let key = Ident::parse_any(input).map_err(|_| Error::new(here, KNOWN))?;
        let word = key.to_string();
        let is_word = word != "schedule" && Spec::WORDS.contains(&word.as_str());
        if !is_word && !OTHERS.contains(&word.as_str()) {
            let message = unknown(&word);
            return Err(Error::new(key.span(), message));
        }
        if given.contains(&word) {
            return Err(Error::new(key.span(), format!("`{word}` is given twice")));
        }
        let example = example(&word);
        if !input.peek(Token![=]) {
            let message = format!("`{word}` has a value: {example}");
            return Err(Error::new(key.span(), message));
        }
        input.parse::<Token![=]>()?;
        given.push(word.clone());
        if word == "crate" {
            self.krate = Some(input.call(Path::parse_mod_style)?);
            return Ok(());
        }
        let here = input.span();
        let value: Expr = (input.parse())
            .map_err(|_| Error::new(here, format!("`{word}` is written like this: {example}")))?;
        match (word.as_str(), text_of(&value)) {
            ("name", Some(name)) => self.name = Some(name),
            ("aliases", None) if matches!(value, Expr::Array(_)) => {
                self.aliases = parse_aliases(&value, example, problems);
            }
            ("retries", None) if number_of(&value).is_some() => {
                let text = number_of(&value).unwrap_or_default();
                self.words.push(Word {
                    name: word,
                    text,
                    place: value.to_token_stream(),
                    told: false,
                });
            }
            ("name" | "aliases", _) => {
                problems.add(&value, format!("`{word}` is written like this: {example}"));
            }
            (_, Some(text)) if word != "retries" => {
                let (text, place) = (text.value(), text.to_token_stream());
                self.words.push(Word {
                    name: word,
                    text,
                    place,
                    told: false,
                });
            }
            _ => {
                problems.add(&value, format!("`{word}` is written like this: {example}"));
                let (text, place) = (quote!(#value).to_string(), value.to_token_stream());
                self.words.push(Word {
                    name: word,
                    text,
                    place,
                    told: true,
                });
            }
        }
        Ok(())
    }

    /// What cannot be meant. An error underlines the literal as a whole, so its text says which part is wrong.
    fn check(&self, problems: &mut Problems) {
        let names = self.name.iter().chain(&self.aliases);
        for (name, problem) in names.filter_map(|name| Some((name, problem_with(&name.value())?))) {
            problems.add(name, problem);
        }
        let words = self
            .words
            .iter()
            .map(|word| (word.name.as_str(), word.text.as_str()));
        for error in Spec::check(words).err().into_iter().flatten() {
            match self.words.iter().find(|word| word.name == error.word) {
                Some(word) if word.told => {}
                Some(word) => problems.add(&word.place, error),
                None => problems.add(&self.expression, error),
            }
        }
    }
}

fn parse_expression(input: ParseStream<'_>, place: Span) -> Result<LitStr> {
    const EXPECTED: &str = "the first argument is the cron expression, a string literal: #[singleton_job(\"*/5 * * * *\")]";
    if input.is_empty() {
        return Err(Error::new(place, EXPECTED));
    }
    let here = input.span();
    input.parse().map_err(|_| Error::new(here, EXPECTED))
}

fn parse_aliases(value: &Expr, example: &str, problems: &mut Problems) -> Vec<LitStr> {
    let Expr::Array(ExprArray { elems, .. }) = value else {
        return Vec::new();
    };
    let mut aliases = Vec::new();
    for element in elems {
        match text_of(element) {
            Some(alias) => aliases.push(alias),
            None => problems.add(
                element,
                format!("`aliases` is written like this: {example}"),
            ),
        }
    }
    aliases
}

fn text_of(value: &Expr) -> Option<LitStr> {
    match value {
        Expr::Lit(ExprLit {
            lit: Lit::Str(text),
            ..
        }) => Some(text.clone()),
        _ => None,
    }
}

fn number_of(value: &Expr) -> Option<String> {
    match value {
        Expr::Lit(ExprLit {
            lit: Lit::Int(number),
            ..
        }) => Some(number.base10_digits().to_owned()),
        _ => None,
    }
}

/// Over what cannot be read, so that what comes after it is still checked.
fn skip_to_comma(input: ParseStream<'_>) -> Result<()> {
    while !input.is_empty() && !input.peek(Token![,]) {
        input.parse::<TokenTree>()?;
    }
    Ok(())
}

fn unknown(word: &str) -> String {
    let words = Spec::WORDS.into_iter().filter(|word| *word != "schedule");
    match nearest(word, words.chain(OTHERS)) {
        Some(meant) => format!("unknown argument `{word}`: did you mean `{meant}`?"),
        None => format!("unknown argument `{word}`: {KNOWN}"),
    }
}

fn example(word: &str) -> &'static str {
    match word {
        "tz" => "tz = \"Europe/Berlin\"",
        "dst" => "dst = \"skip\"",
        "misfire" => "misfire = \"run_once\"",
        "overlap" => "overlap = \"queue_one\"",
        "jitter" => "jitter = \"30s\"",
        "timeout" => "timeout = \"10m\"",
        "retries" => "retries = 3",
        "backoff" => "backoff = \"10s\"",
        "on_crash" => "on_crash = \"retry\"",
        "only_on" => "only_on = \"gpu\"",
        "name" => "name = \"nightly\"",
        "aliases" => "aliases = [\"shop::mail::send\"]",
        _ => "crate = leasehold_scheduler",
    }
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

    fn read(args: &str) -> Args {
        match syn::parse_str(args) {
            Ok(args) => args,
            Err(error) => panic!("`{args}` was refused: {error}"),
        }
    }

    fn refused(args: &str) -> Vec<String> {
        match syn::parse_str::<Args>(args) {
            Ok(_) => panic!("`{args}` was accepted"),
            Err(error) => error.into_iter().map(|error| error.to_string()).collect(),
        }
    }

    #[test]
    fn every_argument_in_any_order() {
        let args = read(
            r#""0 2 * * *", crate = a::b, retries = 3, aliases = ["b", "c",], overlap = "skip", tz = "Europe/Berlin",
               misfire = "run_once", jitter = "30s", timeout = "10m", dst = "skip", on_crash = "retry", backoff = "10s",
               only_on = "gpu", name = "a","#,
        );
        let words: Vec<_> = args
            .words
            .iter()
            .map(|w| (w.name.as_str(), w.text.as_str()))
            .collect();
        assert_eq!(
            words,
            [
                ("schedule", "0 2 * * *"),
                ("retries", "3"),
                ("overlap", "skip"),
                ("tz", "Europe/Berlin"),
                ("misfire", "run_once"),
                ("jitter", "30s"),
                ("timeout", "10m"),
                ("dst", "skip"),
                ("on_crash", "retry"),
                ("backoff", "10s"),
                ("only_on", "gpu"),
            ]
        );
        // What a specification can say, the attribute can.
        assert_eq!(words.len(), Spec::WORDS.len());
        assert_eq!(args.name.expect("a name").value(), "a");
        assert_eq!(
            args.aliases.iter().map(LitStr::value).collect::<Vec<_>>(),
            ["b", "c"]
        );
        assert!(args.krate.is_some());
    }

    #[test]
    fn the_name_may_be_left_out_and_the_job_be_off() {
        for args in [
            r#""@daily""#,
            r#""@daily","#,
            r#""-", tz = "Europe/Berlin""#,
        ] {
            assert!(read(args).name.is_none());
        }
    }

    #[test]
    fn the_expression_is_a_literal_that_comes_first() {
        for args in ["", "EVERY_DAY", "5", r#"name = "report", "@daily""#] {
            let errors = refused(args);
            assert!(
                errors[0].starts_with("the first argument is the cron expression"),
                "{errors:?}"
            );
        }
    }

    #[test]
    fn the_text_for_a_wrong_expression_has_the_carets() {
        assert_eq!(
            refused(r#""61 * * * *""#),
            ["minute `61` is out of range: allowed is 0-59\n  61 * * * *\n  ^^"]
        );
    }

    #[test]
    fn a_name_is_short_and_printable_and_so_are_former_ones() {
        let longest = "x".repeat(512);
        read(&format!(
            r#""@daily", name = "{longest}", aliases = ["{longest}"]"#
        ));
        for (name, problem) in [
            ("", "not empty"),
            ("\\n", "no control characters"),
            ("x\\u{7f}", "no control characters"),
            (&format!("{longest}x"), "at most 512 bytes"),
        ] {
            for argument in [
                format!(r#"name = "{name}""#),
                format!(r#"aliases = ["a", "{name}"]"#),
            ] {
                let errors = refused(&format!(r#""@daily", {argument}"#));
                assert!(errors[0].contains(problem), "{errors:?}");
            }
        }
    }

    #[test]
    fn nothing_else_is_known_and_nothing_comes_twice() {
        for (argument, problem) in [
            (
                r#"zone = "UTC""#,
                "unknown argument `zone`: did you mean `tz`?",
            ),
            (
                r#"schedule = "@daily""#,
                "unknown argument `schedule`: after",
            ),
            (r#"xyzzy = "1""#, "unknown argument `xyzzy`: after"),
            (r#""@hourly""#, "after the cron expression there are"),
            (r#"name = "a", name = "b""#, "`name` is given twice"),
            (r#"jitter = "1s", jitter = "2s""#, "`jitter` is given twice"),
            ("retries", "`retries` has a value: retries = 3"),
            (
                r#"retries = "3""#,
                "`retries` is written like this: retries = 3",
            ),
            (
                "retries = -1",
                "`retries` is written like this: retries = 3",
            ),
            (
                "retries = 101",
                "`101` is no number of retries from 0 to 100",
            ),
            (
                "misfire = run_once",
                "`misfire` is written like this: misfire = \"run_once\"",
            ),
            (
                "jitter = 30",
                "`jitter` is written like this: jitter = \"30s\"",
            ),
            ("name = 7", "`name` is written like this"),
            (
                r#"aliases = "old""#,
                "`aliases` is written like this: aliases = [",
            ),
            (
                "aliases = [old]",
                "`aliases` is written like this: aliases = [",
            ),
            ("jitter =", "`jitter` is written like this"),
        ] {
            let errors = refused(&format!(r#""@daily", {argument}"#));
            assert_eq!(errors.len(), 1, "{errors:?}");
            assert!(errors[0].contains(problem), "{errors:?}");
        }
    }

    #[test]
    fn every_problem_is_told_at_once() {
        let errors = refused(
            r#""61 * * * *", jitter = "x", retries = "3", backoff = "y", zone = "UTC", overlap = "perhaps", name = """#,
        );
        assert_eq!(errors.len(), 7, "{errors:#?}");
    }

    #[test]
    fn words_are_at_odds_only_if_all_of_them_were_read() {
        assert_eq!(
            refused(r#""@daily", retries = "3", backoff = "10s""#).len(),
            1
        );
        let errors = refused(r#""@daily", backoff = "10s", dst = "skip""#);
        assert_eq!(errors.len(), 2, "{errors:?}");
    }
}
