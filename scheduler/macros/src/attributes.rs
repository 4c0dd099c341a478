//! The other attributes of the function that make jobs of it.
//!
//! The first attribute that is expanded sees those below it, and takes them all: one type stands for all jobs of a
//! function, and only one can stand beside it.

use proc_macro2::{Span, TokenStream, TokenTree};
use quote::quote;
use syn::spanned::Spanned;
use syn::{Attribute, Error, Meta, Path, Result};

/// One more `#[singleton_job(..)]`.
pub(crate) struct Other {
    /// What is in its parentheses.
    pub(crate) args: TokenStream,
    /// Under which conditions it is there: of the `cfg_attr`s around it.
    pub(crate) conditions: Vec<TokenStream>,
    pub(crate) span: Span,
}

/// Takes them out of `attributes`, in order. What is left is for others.
pub(crate) fn take(attributes: &mut Vec<Attribute>) -> Result<Vec<Other>> {
    let mut others = Vec::new();
    let mut left = Vec::new();
    for attribute in std::mem::take(attributes) {
        if let Some(meta) = sorted(attribute.meta.clone(), &[], &mut others)? {
            left.push(Attribute { meta, ..attribute });
        }
    }
    *attributes = left;
    Ok(others)
}

/// What is left of an attribute, if anything is.
fn sorted(meta: Meta, conditions: &[TokenStream], others: &mut Vec<Other>) -> Result<Option<Meta>> {
    if is_called(meta.path(), "singleton_job") {
        let span = meta.path().span();
        let args = match meta {
            Meta::Path(_) => TokenStream::new(),
            Meta::List(list) => list.tokens,
            Meta::NameValue(value) => {
                return Err(Error::new_spanned(
                    value,
                    "write #[singleton_job(\"*/5 * * * *\")]",
                ));
            }
        };
        let conditions = conditions.to_vec();
        others.push(Other {
            args,
            conditions,
            span,
        });
        return Ok(None);
    }
    let Meta::List(mut list) = meta else {
        return Ok(Some(meta));
    };
    if !list.path.is_ident("cfg_attr") {
        return Ok(Some(Meta::List(list)));
    }
    // `cfg_attr(condition, attribute, attribute, ..)`: this attribute is expanded before the condition is looked at.
    let mut parts = split_at_commas(list.tokens.clone()).into_iter();
    let condition = parts.next().unwrap_or_default();
    let inner: Vec<TokenStream> = conditions
        .iter()
        .cloned()
        .chain([condition.clone()])
        .collect();
    let before = others.len();
    let mut kept = Vec::new();
    for part in parts {
        match syn::parse2::<Meta>(part.clone()) {
            Ok(meta) => kept.extend(sorted(meta, &inner, others)?.map(|meta| quote!(#meta))),
            // Not for this attribute to judge: `unsafe(..)`, or nothing after the last comma.
            Err(_) => kept.push(part),
        }
    }
    if others.len() == before {
        return Ok(Some(Meta::List(list)));
    }
    list.tokens = quote!(#condition, #(#kept),*);
    Ok((!kept.is_empty()).then_some(Meta::List(list)))
}

/// Also by a path, as in `leasehold::singleton_job`.
fn is_called(path: &Path, name: &str) -> bool {
    path.segments.last().is_some_and(|last| last.ident == name)
}

fn split_at_commas(tokens: TokenStream) -> Vec<TokenStream> {
    let mut parts = vec![TokenStream::new()];
    for token in tokens {
        match (&token, parts.last_mut()) {
            (TokenTree::Punct(punct), _) if punct.as_char() == ',' => {
                parts.push(TokenStream::new());
            }
            (_, Some(last)) => last.extend([token]),
            (_, None) => {}
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use syn::ItemFn;

    /// What is left of the function, and what was taken.
    fn taken(function: &str) -> (String, Vec<(String, usize)>) {
        let mut item: ItemFn = syn::parse_str(function).expect("a function");
        let others = take(&mut item.attrs).unwrap_or_else(|error| panic!("{error}"));
        let others = others.iter();
        let others = others.map(|other| (other.args.to_string(), other.conditions.len()));
        (quote!(#item).to_string().replace(' ', ""), others.collect())
    }

    #[test]
    fn those_below_are_taken_under_any_path_and_the_rest_stays() {
        let (left, others) = taken(
            r#"/// Docs.
            #[singleton_job("@daily", name = "b")]
            #[allow(dead_code)]
            #[::leasehold::scheduler::singleton_job("@hourly", name = "c")]
            async fn f() {}"#,
        );
        assert_eq!(left, r#"#[doc="Docs."]#[allow(dead_code)]asyncfnf(){}"#);
        assert_eq!(
            others,
            [
                (r#""@daily" , name = "b""#.into(), 0),
                (r#""@hourly" , name = "c""#.into(), 0)
            ]
        );
    }

    #[test]
    fn those_under_a_condition_are_taken_with_it() {
        let (left, others) = taken(
            r#"#[cfg_attr(any(unix, windows), doc = "Docs.", singleton_job("@daily"), cfg_attr(test, x::singleton_job("@hourly")))]
            #[cfg_attr(unix, inline)]
            #[cfg_attr(unix, singleton_job("@weekly"))]
            async fn f() {}"#,
        );
        assert_eq!(
            left,
            r#"#[cfg_attr(any(unix,windows),doc="Docs.")]#[cfg_attr(unix,inline)]asyncfnf(){}"#
        );
        let conditions: Vec<_> = others.iter().map(|(_, conditions)| *conditions).collect();
        assert_eq!(conditions, [1, 2, 1]);
    }
}
