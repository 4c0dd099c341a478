//! What the attribute writes beside the function.

use proc_macro2::{Span, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::ext::IdentExt;
use syn::parse::Parser;
use syn::spanned::Spanned;
use syn::{Error, Ident, ItemFn, Path};

use crate::args::{Args, Word};
use crate::attributes::{self, Other};
use crate::function::Function;
use crate::problems::Problems;

/// The function without the attributes that are used up, and its jobs; or the function and all that is wrong.
pub(crate) fn singleton_job(args: TokenStream, item: &TokenStream) -> TokenStream {
    let mut function: ItemFn = match syn::parse2(item.clone()) {
        Ok(function) => function,
        Err(error) => {
            let message = format!("#[singleton_job] belongs on an `async fn`: {error}");
            let error = Error::new(error.span(), message).into_compile_error();
            return quote!(#item #error);
        }
    };
    let mut problems = Problems::default();
    let others = attributes::take(&mut function.attrs);
    let others = problems.settle(others).unwrap_or_default();
    let added = expand(args, &others, &function, problems);
    if others.is_empty() {
        // As it was, to the last token.
        return quote!(#item #added);
    }
    quote!(#function #added)
}

/// A job of the function.
struct Attribute {
    args: Args,
    conditions: Vec<TokenStream>,
}

fn expand(
    args: TokenStream,
    others: &[Other],
    item: &ItemFn,
    mut problems: Problems,
) -> TokenStream {
    let first = problems.settle(syn::parse2::<Args>(args));
    let mut jobs: Vec<_> = first
        .into_iter()
        .map(|args| Attribute {
            args,
            conditions: Vec::new(),
        })
        .collect();
    for Other {
        args,
        conditions,
        span,
    } in others
    {
        // Nothing at all has no place to point at: the attribute is it.
        let parser = |input: syn::parse::ParseStream<'_>| Args::parse_at(input, *span);
        let args = problems.settle(parser.parse2(args.clone()));
        jobs.extend(args.map(|args| Attribute {
            args,
            conditions: conditions.clone(),
        }));
    }
    check_names(&jobs, &mut problems);
    let function = problems.settle(Function::check(item));
    match (problems.into_result(), function) {
        (Ok(()), Some(function)) => {
            let krate = jobs.iter().find_map(|job| job.args.krate.as_ref());
            let root = root(krate);
            definition(
                item,
                &root,
                &build(&jobs, &item.sig.ident, &function, &root),
            )
        }
        (Err(problem), _) => {
            let problem = problem.into_compile_error();
            if item.sig.receiver().is_some() {
                // No type can be defined inside of an `impl`.
                return problem;
            }
            // The name still means a job, or each `jobs![]` it is in would be a second, misleading error.
            let stand_in = definition(item, &root(None), &quote!(::core::unreachable!()));
            quote!(#problem #stand_in)
        }
        // A function is refused with a problem.
        (Ok(()), None) => TokenStream::new(),
    }
}

/// Jobs of one function have names of their own. Those under a condition may exclude each other, and are not compared here.
fn check_names(jobs: &[Attribute], problems: &mut Problems) {
    let jobs = jobs.iter().filter(|job| job.conditions.is_empty());
    let mut unnamed = 0;
    let mut names: Vec<(usize, String)> = Vec::new();
    for (place, Attribute { args, .. }) in jobs.enumerate() {
        if args.name.is_none() {
            unnamed += 1;
            if unnamed == 2 {
                let message = "each job of a function has a name of its own: add `name = \"..\"` here (one may go without, \
                               and has the function's)";
                problems.add(&args.expression, message);
            }
        }
        for literal in args.name.iter().chain(&args.aliases) {
            let name = literal.value();
            if names
                .iter()
                .any(|(other, taken)| *other != place && *taken == name)
            {
                problems.add(
                    literal,
                    "another job of this function has this name, or had it",
                );
            }
            names.push((place, name));
        }
    }
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
            fn jobs() -> ::std::vec::Vec<#root::Job> {
                #body
            }
        }
    }
}

fn build(
    jobs: &[Attribute],
    ident: &Ident,
    function: &Function,
    root: &TokenStream,
) -> TokenStream {
    let Function { arguments, output } = function;
    // Each line is blamed on the argument it comes from, so that a type that is no `FromRun` is underlined.
    let hygienic = Span::mixed_site();
    let context = Ident::new("_context", hygienic);
    let values: Vec<_> = (0..arguments.len())
        .map(|place| format_ident!("argument_{place}", span = hygienic))
        .collect();
    let needs = arguments
        .iter()
        .map(|ty| quote_spanned!(ty.span()=> <#ty as #root::FromRun>::requirement()));
    let bindings = arguments.iter().zip(&values).map(|(ty, value)| {
        quote_spanned!(ty.span()=> let #value = <#ty as #root::FromRun>::from_run(&#context);)
    });
    // And the result on the type it has.
    let done = Ident::new("done", hygienic.located_at(*output));
    let result = quote_spanned!(*output=> #root::IntoJobResult::into_job_result(#done));

    let [requirements, handler] =
        ["requirements", "handler"].map(|name| Ident::new(name, hygienic));
    let jobs = jobs.iter().map(|Attribute { args, conditions }| {
        let name = args.name.as_ref().map_or_else(
            || {
                let plain = ident.unraw().to_string();
                quote!(::core::concat!(::core::module_path!(), "::", #plain))
            },
            |name| quote!(#name),
        );
        let aliases = &args.aliases;
        let words = args
            .words
            .iter()
            .map(|Word { name, text, .. }| quote!((#name, #text)));
        quote! {
            #(#[cfg(#conditions)])*
            #root::Job::from_macro(
                #name,
                &[#(#aliases),*],
                &[#(#words),*],
                ::core::clone::Clone::clone(&#requirements),
                #handler,
            )
        }
    });
    quote! {
        let #requirements = ::std::vec![#(#needs),*];
        let #handler = |#context: #root::JobContext| async move {
            #(#bindings)*
            let #done = #ident(#(#values),*).await;
            #result
        };
        ::std::vec::Vec::from([#(#jobs),*])
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
            expanded(
                r#""@daily", name = "ticks", aliases = ["tocks"], retries = 3"#,
                function
            ),
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
                    fn jobs() -> ::std::vec::Vec<::root::__macro::Job> {{
                        let requirements =
                            ::std::vec![<JobContext as ::root::__macro::FromRun>::requirement()];
                        let handler = |_context: ::root::__macro::JobContext| async move {{
                            let argument_0 =
                                <JobContext as ::root::__macro::FromRun>::from_run(&_context);
                            let done = tick(argument_0).await;
                            ::root::__macro::IntoJobResult::into_job_result(done)
                        }};
                        ::std::vec::Vec::from([::root::__macro::Job::from_macro(
                            "ticks",
                            &["tocks"],
                            &[("schedule", "@daily"), ("retries", "3")],
                            ::core::clone::Clone::clone(&requirements),
                            handler,
                        )])
                    }}
                }}
                "#
            ))
        );
    }

    #[test]
    fn several_attributes_are_used_up_and_become_jobs_of_one_type() {
        let text = expanded(
            r#""@daily""#,
            r#"/// Docs.
            #[singleton_job("@hourly", name = "b")]
            #[cfg_attr(unix, singleton_job("@weekly", name = "c"))]
            async fn f() {}"#,
        );
        assert!(text.starts_with(r#"#[doc="Docs."]asyncfnf(){}"#), "{text}");
        assert_eq!(text.matches("structf{}").count(), 1);
        assert_eq!(text.matches("from_macro").count(), 3);
        assert_eq!(
            text.matches("#[cfg(unix)]::root::__macro::Job::from_macro(\"c\"")
                .count(),
            1,
            "{text}"
        );
        assert!(!text.contains("singleton_job"), "{text}");
    }

    #[test]
    fn names_of_one_function_differ() {
        let refused = |first: &str, other: &str| {
            let item = format!("#[singleton_job({other})] async fn f() {{}}");
            expanded(first, &item).matches("compile_error").count()
        };
        assert_eq!(refused(r#""@daily""#, r#""@hourly""#), 1);
        assert_eq!(
            refused(r#""@daily", name = "a""#, r#""@hourly", name = "a""#),
            1
        );
        assert_eq!(
            refused(r#""@daily", name = "a""#, r#""@hourly", aliases = ["a"]"#),
            1
        );
        assert_eq!(
            refused(
                r#""@daily", name = "a", aliases = ["b", "a"]"#,
                r#""@hourly""#
            ),
            0
        );
        let exclusive = r#"#[cfg_attr(unix, singleton_job("@hourly"))] async fn f() {}"#;
        assert!(!expanded(r#""@daily""#, exclusive).contains("compile_error"));
    }

    #[test]
    fn the_name_is_the_path_of_the_function_without_a_raw_prefix() {
        let text = expanded(r#""@daily""#, "async fn r#match() {}");
        let name = without_blanks(r#"::core::concat!(::core::module_path!(), "::", "match")"#);
        assert!(text.contains(&name), "{text}");
    }

    #[test]
    fn the_function_stays_when_something_is_wrong_and_all_errors_are_told() {
        let text = expanded(
            r#""61 * * * *""#,
            r#"#[singleton_job("@daily", name = "")] fn tick() {}"#,
        );
        assert!(text.starts_with("fntick(){}"), "{text}");
        assert_eq!(text.matches("compile_error").count(), 3, "{text}");
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
