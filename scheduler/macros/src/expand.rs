//! What the attribute writes beside the function.

use proc_macro2::{Span, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::{Error, Ident, ItemFn, Path, Result};

use crate::args::Args;
use crate::function::Function;

/// The function as it was, and the job; or the function and all that is wrong.
pub(crate) fn singleton_job(args: TokenStream, item: &TokenStream) -> TokenStream {
    let added = expand(args, item.clone()).unwrap_or_else(Error::into_compile_error);
    quote!(#item #added)
}

fn expand(args: TokenStream, item: TokenStream) -> Result<TokenStream> {
    let item: ItemFn = syn::parse2(item).map_err(|error| {
        Error::new(
            error.span(),
            format!("#[singleton_job] belongs on an `async fn`: {error}"),
        )
    })?;
    let problem = match (syn::parse2::<Args>(args), Function::check(&item)) {
        (Ok(args), Ok(function)) => {
            let root = root(args.krate.as_ref());
            let body = build(&args, &item.sig.ident, &function, &root);
            return Ok(definition(&item, &root, &body));
        }
        (Err(mut error), Err(other)) => {
            error.combine(other);
            error
        }
        (Err(error), Ok(_)) | (Ok(_), Err(error)) => error,
    };
    if item.sig.receiver().is_some() {
        // No type can be defined inside of an `impl`.
        return Err(problem);
    }
    // The name still means a job, or each `jobs![]` it is in would be a second, misleading error.
    let stand_in = definition(&item, &root(None), &quote!(::core::unreachable!()));
    let problem = problem.into_compile_error();
    Ok(quote!(#problem #stand_in))
}

/// The module with everything that expansions use. Users depend on `leasehold` alone, so that is where it is; a macro
/// cannot see under which other name a crate knows it, hence `crate = ..`.
fn root(krate: Option<&Path>) -> TokenStream {
    let Some(path) = krate else {
        return quote!(::leasehold::scheduler::__macro);
    };
    // Without the place where it is written: what is blamed is the argument or the result, not the path.
    quote!(#path::__macro)
        .into_iter()
        .map(|mut token| {
            token.set_span(Span::call_site());
            token
        })
        .collect()
}

/// The type beside the function, with `body` to make the job.
fn definition(item: &ItemFn, root: &TokenStream, body: &TokenStream) -> TokenStream {
    let (vis, ident) = (&item.vis, &item.sig.ident);
    // The job exists under the conditions under which the function does.
    let cfgs: Vec<_> = item
        .attrs
        .iter()
        .filter(|attribute| attribute.path().is_ident("cfg"))
        .collect();
    // With braces: a unit struct would have the name of the function in the namespace of values too.
    quote! {
        #(#cfgs)*
        #[doc(hidden)]
        #[allow(non_camel_case_types, missing_debug_implementations)]
        #vis struct #ident {}

        #(#cfgs)*
        #[allow(deprecated)]
        impl #root::JobDefinition for #ident {
            fn job() -> #root::Job {
                #body
            }
        }
    }
}

fn build(args: &Args, ident: &Ident, function: &Function, root: &TokenStream) -> TokenStream {
    let Function { arguments, output } = function;
    let expression = &args.expression;
    let name = args.name.as_ref().map_or_else(
        || {
            let plain = ident.unraw().to_string();
            quote!(::core::concat!(::core::module_path!(), "::", #plain))
        },
        |name| quote!(#name),
    );

    // Each line is blamed on the argument it comes from, so that a type that is no `FromRun` is underlined.
    let hygienic = Span::mixed_site();
    let context = Ident::new("_context", hygienic);
    let values: Vec<_> = (0..arguments.len())
        .map(|place| format_ident!("argument_{place}", span = hygienic))
        .collect();
    let requirements = arguments
        .iter()
        .map(|ty| quote_spanned!(ty.span()=> <#ty as #root::FromRun>::requirement()));
    let bindings = arguments.iter().zip(&values).map(|(ty, value)| {
        quote_spanned!(ty.span()=> let #value = <#ty as #root::FromRun>::from_run(&#context);)
    });
    // And the result on the type it has.
    let done = Ident::new("done", hygienic.located_at(*output));
    let result = quote_spanned!(*output=> #root::IntoJobResult::into_job_result(#done));

    quote! {
        #root::Job::from_macro(
            #name,
            &[],
            &[("schedule", #expression)],
            ::std::vec![#(#requirements),*],
            |#context: #root::JobContext| async move {
                #(#bindings)*
                let #done = #ident(#(#values),*).await;
                #result
            },
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expanded(args: &str, item: &str) -> String {
        let args = format!("{args}, crate = ::root");
        let (args, item) = (args.parse().expect("tokens"), item.parse().expect("tokens"));
        without_blanks(&singleton_job(args, &item).to_string())
    }

    /// How tokens are spaced is nobody's promise.
    fn without_blanks(text: &str) -> String {
        text.split_whitespace().collect()
    }

    #[test]
    fn the_function_stays_and_the_job_stands_beside_it() {
        let function = "#[cfg(unix)] pub async fn tick(ctx: JobContext) -> Done { done(ctx) }";
        assert_eq!(
            expanded(r#""@daily", name = "ticks""#, function),
            without_blanks(&format!(
                r#"
                {function}
                #[cfg(unix)]
                #[doc(hidden)]
                #[allow(non_camel_case_types, missing_debug_implementations)]
                pub struct tick {{}}
                #[cfg(unix)]
                #[allow(deprecated)]
                impl ::root::__macro::JobDefinition for tick {{
                    fn job() -> ::root::__macro::Job {{
                        ::root::__macro::Job::from_macro(
                            "ticks",
                            &[],
                            &[("schedule", "@daily")],
                            ::std::vec![<JobContext as ::root::__macro::FromRun>::requirement()],
                            |_context: ::root::__macro::JobContext| async move {{
                                let argument_0 =
                                    <JobContext as ::root::__macro::FromRun>::from_run(&_context);
                                let done = tick(argument_0).await;
                                ::root::__macro::IntoJobResult::into_job_result(done)
                            }},
                        )
                    }}
                }}
                "#
            ))
        );
    }

    #[test]
    fn the_name_is_the_path_of_the_function_without_a_raw_prefix() {
        let text = expanded(r#""@daily""#, "async fn r#match() {}");
        let name = without_blanks(r#"::core::concat!(::core::module_path!(), "::", "match")"#);
        assert!(text.contains(&name), "{text}");
    }

    #[test]
    fn the_function_stays_when_something_is_wrong_and_all_errors_are_told() {
        let text = expanded(r#""61 * * * *""#, "fn tick() {}");
        assert!(text.starts_with("fntick(){}"), "{text}");
        assert_eq!(text.matches("compile_error").count(), 2, "{text}");
        assert!(text.contains("structtick{}"), "{text}");
    }

    #[test]
    fn nothing_is_defined_beside_a_method() {
        let text = expanded(r#""@daily""#, "async fn tick(&self) {}");
        assert!(!text.contains("struct"), "{text}");
    }

    #[test]
    fn the_scheduler_is_found_in_the_face_unless_told_otherwise() {
        let (args, item) = (
            quote!("@daily"),
            quote!(
                async fn tick() {}
            ),
        );
        let text = without_blanks(&singleton_job(args, &item).to_string());
        assert!(
            text.contains("impl::leasehold::scheduler::__macro::JobDefinitionfortick"),
            "{text}"
        );
    }

    #[test]
    fn only_functions_are_jobs() {
        let text = expanded(r#""@daily""#, "struct Tick;");
        assert!(text.contains("belongsonan`asyncfn`"), "{text}");
    }
}
