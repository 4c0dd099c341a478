//! `jobs![...]`.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::parse::{ParseStream, Parser};
use syn::punctuated::Punctuated;
use syn::spanned::Spanned;
use syn::{Error, Path, Result, Token};

pub(crate) fn jobs(paths: TokenStream, root: impl FnOnce() -> Result<TokenStream>) -> TokenStream {
    expand(paths, root).unwrap_or_else(Error::into_compile_error)
}

fn expand(paths: TokenStream, root: impl FnOnce() -> Result<TokenStream>) -> Result<TokenStream> {
    let list = |input: ParseStream<'_>| {
        Punctuated::<Path, Token![,]>::parse_terminated_with(input, Path::parse_mod_style)
    };
    let paths = list.parse2(paths)?;
    let root = root()?;
    if paths.is_empty() {
        // Nothing in an empty list says what it is a list of.
        return Ok(quote!(::std::vec::Vec::<#root::Job>::new()));
    }
    let jobs = paths
        .iter()
        .map(|path| quote_spanned!(path.span()=> <#path as #root::JobDefinition>::job()));
    Ok(quote!(::std::vec![#(#jobs),*]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expanded(paths: &str) -> String {
        let root = || Ok(quote!(::root));
        without_blanks(&jobs(paths.parse().expect("tokens"), root).to_string())
    }

    /// How tokens are spaced is nobody's promise.
    fn without_blanks(text: &str) -> String {
        text.split_whitespace().collect()
    }

    #[test]
    fn each_path_becomes_a_job_in_order() {
        let expected = without_blanks(
            "::std::vec![<a::b as ::root::JobDefinition>::job(), <c as ::root::JobDefinition>::job()]",
        );
        assert_eq!(expanded("a::b, c"), expected);
        assert_eq!(expanded("a::b, c,"), expected);
    }

    #[test]
    fn an_empty_list_has_a_type() {
        assert_eq!(expanded(""), "::std::vec::Vec::<::root::Job>::new()");
    }

    #[test]
    fn only_paths_are_jobs() {
        assert!(expanded("a(), b").contains("compile_error"));
    }
}
