//! The name of what is locked: `class/id`, with arguments in the id.

use syn::{Error, LitStr, Member, Result};

/// The longest class and the longest id, in bytes.
const MAX_BYTES: usize = 512;

/// The name, valid as far as it is known before it is filled in.
pub(crate) struct Name {
    pub(crate) literal: LitStr,
    pub(crate) class: String,
    pub(crate) id: Vec<Part>,
}

pub(crate) enum Part {
    Text(String),
    Value(Value),
}

/// `argument.field.0`
pub(crate) struct Value {
    /// An argument, or `self`.
    pub(crate) of: String,
    pub(crate) fields: Vec<Member>,
    /// As it is written.
    pub(crate) text: String,
}

impl Name {
    /// Reads `"class/id"`, or a name alone, as of a semaphore that is the only one of its class.
    pub(crate) fn parse_of_semaphore(literal: LitStr) -> Result<Self> {
        let text = literal.value();
        if text.is_empty() || text.contains(['/', '{', '}']) {
            return Self::parse(literal);
        }
        let both = LitStr::new(&format!("{text}/{text}"), literal.span());
        Self::parse(both)
    }

    /// Reads `"class/id"`. An error underlines the literal as a whole, so its text repeats what is wrong in it.
    pub(crate) fn parse(literal: LitStr) -> Result<Self> {
        let text = literal.value();
        let refused = |message: String| Error::new(literal.span(), message);
        let Some((class, id)) = text.split_once('/') else {
            let message = format!(
                "{text:?} has no id: write `class/id`, as in \"{}/{{id}}\"",
                if text.is_empty() || text.contains(['{', '}']) {
                    "invoice"
                } else {
                    &text
                }
            );
            return Err(refused(message));
        };
        check_class(class).map_err(refused)?;
        let id = parts(id).map_err(refused)?;
        if id.is_empty() {
            let message = format!("{text:?} has an empty id: which {class} is it?");
            return Err(refused(message));
        }
        let of_text = |part: &Part| match part {
            Part::Text(text) => text.len(),
            Part::Value(_) => 0,
        };
        let sizes = [("class", class.len()), ("id", id.iter().map(of_text).sum())];
        if let Some((what, bytes)) = sizes.iter().find(|(_, bytes)| *bytes > MAX_BYTES) {
            return Err(refused(format!(
                "the {what} has {bytes} bytes before its arguments are filled in: at most {MAX_BYTES} are allowed"
            )));
        }
        if let Some(at) = text.chars().find(|c| c.is_control()) {
            let code = u32::from(at);
            return Err(refused(format!(
                "the name has the control character U+{code:04X}: remove it"
            )));
        }
        Ok(Self {
            class: class.to_owned(),
            id,
            literal,
        })
    }
}

fn check_class(class: &str) -> std::result::Result<(), String> {
    if class.is_empty() {
        return Err("the class is empty: write `class/id`, as in \"invoice/{id}\"".into());
    }
    if class.contains(['{', '}']) {
        return Err(format!(
            "the class, {class:?}, has braces: it stands before the first `/` and is written out, since it becomes a metric \
             label; put what varies into the id, as in \"invoice/{{id}}\""
        ));
    }
    if class.starts_with('~') {
        return Err(format!(
            "class {class:?} is reserved: a class does not begin with `~`"
        ));
    }
    Ok(())
}

/// Splits the id at its braces.
fn parts(id: &str) -> std::result::Result<Vec<Part>, String> {
    let mut parts = Vec::new();
    let mut text = String::new();
    let mut rest = id;
    while let Some(at) = rest.find(['{', '}']) {
        text += &rest[..at];
        let (brace, after) = rest[at..].split_at(1);
        if let Some(after) = after.strip_prefix(brace) {
            text += brace;
            rest = after;
            continue;
        }
        let inner = (brace == "{").then(|| after.split_once('}')).flatten();
        let Some((inner, after)) = inner else {
            return Err(format!(
                "`{brace}` has no partner in {id:?}: a brace itself is written twice, `{brace}{brace}`"
            ));
        };
        if !text.is_empty() {
            parts.push(Part::Text(std::mem::take(&mut text)));
        }
        parts.push(Part::Value(value(inner)?));
        rest = after;
    }
    text += rest;
    if !text.is_empty() {
        parts.push(Part::Text(text));
    }
    Ok(parts)
}

fn value(text: &str) -> std::result::Result<Value, String> {
    if text.is_empty() {
        return Err("`{}` names no argument: write which one, as in `{id}`".into());
    }
    let refused = || {
        format!(
            "`{{{text}}}` is neither an argument nor a field of one: write `{{id}}`, `{{invoice.id}}` or `{{self.id}}`"
        )
    };
    let mut words = text.split('.');
    let of = words.next().unwrap_or_default();
    let is_word = |word: &str| word == "self" || syn::parse_str::<syn::Ident>(word).is_ok();
    if !is_word(of) {
        return Err(refused());
    }
    let member = |word: &str| syn::parse_str::<Member>(word).map_err(|_| refused());
    Ok(Value {
        of: of.to_owned(),
        fields: words.map(member).collect::<std::result::Result<_, _>>()?,
        text: text.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use proc_macro2::Span;

    use super::*;

    fn parse(name: &str) -> Result<Name> {
        Name::parse(LitStr::new(name, Span::call_site()))
    }

    fn refused(name: &str) -> String {
        match parse(name) {
            Ok(_) => panic!("{name:?} was accepted"),
            Err(error) => error.to_string(),
        }
    }

    /// As it was read, with `<>` around values.
    fn read(name: &str) -> String {
        let Ok(name) = parse(name) else {
            panic!("{name:?} is valid");
        };
        let parts = name.id.iter().map(|part| match part {
            Part::Text(text) => text.clone(),
            Part::Value(value) => format!("<{}:{}>", value.of, value.fields.len()),
        });
        format!("{}/{}", name.class, parts.collect::<String>())
    }

    #[test]
    fn a_name_is_a_class_and_an_id_with_values() {
        for (name, as_read) in [
            ("invoice/{id}", "invoice/<id:0>"),
            (
                "invoice/{self.id}-{invoice.key.0}",
                "invoice/<self:1>-<invoice:2>",
            ),
            ("report/nightly", "report/nightly"),
            ("a/b/{c}/d", "a/b/<c:0>/d"),
            ("a/{{b}}", "a/{b}"),
            ("a/{{{b}}}", "a/{<b:0>}"),
            ("über/{größe}", "über/<größe:0>"),
        ] {
            assert_eq!(read(name), as_read);
        }
    }

    #[test]
    fn what_cannot_be_a_name_is_refused_with_what_to_do() {
        for (name, problem) in [
            ("", "has no id: write `class/id`"),
            ("invoice", "as in \"invoice/{id}\""),
            ("{id}", "as in \"invoice/{id}\""),
            ("/{id}", "the class is empty"),
            ("invoice/", "has an empty id"),
            ("{kind}/7", "becomes a metric label"),
            ("~election/{id}", "reserved"),
            ("invoice/{}", "names no argument"),
            ("invoice/{id", "has no partner"),
            ("invoice/id}", "has no partner"),
            ("invoice/{id:?}", "neither an argument nor a field"),
            ("invoice/{0}", "neither an argument nor a field"),
            ("invoice/{a b}", "neither an argument nor a field"),
            ("invoice/{a.}", "neither an argument nor a field"),
            ("invoice/{match}", "neither an argument nor a field"),
            ("invoice/a\nb", "U+000A"),
            ("in\u{7f}voice/a", "U+007F"),
        ] {
            let error = refused(name);
            assert!(error.contains(problem), "{name:?}: {error}");
        }
        let long = format!("invoice/{}{{id}}", "x".repeat(512));
        assert!(parse(&long).is_ok());
        let error = refused(&format!("{long}x"));
        assert!(error.contains("the id has 513 bytes"), "{error}");
        let error = refused(&format!("{}/7", "x".repeat(513)));
        assert!(error.contains("the class has 513 bytes"), "{error}");
    }
}
