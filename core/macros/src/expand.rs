//! What becomes of the function.

use std::time::Duration;

use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::parse::{ParseStream, Parser};
use syn::spanned::Spanned;
use syn::{Error, Ident, ItemFn, Result};

use crate::args::Args;
use crate::function::Function;
use crate::how::{Attribute, How};
use crate::name::{Name, Part, Value};

/// The function, under a guard; or as it was, and all that is wrong.
pub(crate) fn guarded(attribute: Attribute, args: TokenStream, item: &TokenStream) -> TokenStream {
    expand(attribute, args, item.clone()).unwrap_or_else(|error| {
        let error = error.into_compile_error();
        // Who calls it has no error of his own.
        quote!(#error #item)
    })
}

fn expand(attribute: Attribute, args: TokenStream, item: TokenStream) -> Result<TokenStream> {
    let item: ItemFn = syn::parse2(item).map_err(|error| {
        let word = attribute.as_str();
        let message = format!("#[{word}] belongs on an `async fn` with a body: {error}");
        Error::new(error.span(), message)
    })?;
    let args = (|input: ParseStream<'_>| Args::of(attribute, input)).parse2(args)?;
    let function = Function::check(&item, &args)?;
    Ok(build(&args, &item, &function))
}

fn build(args: &Args, item: &ItemFn, function: &Function) -> TokenStream {
    let ItemFn {
        attrs,
        vis,
        sig,
        block,
        ..
    } = item;
    let root = root(args);
    let Function { coord, output, .. } = function;
    let class = &args.name.class;
    let id = id(&args.name);
    // Names of the body and those here don't meet.
    let own = Span::mixed_site();
    let durations = [
        ("ttl", args.ttl),
        ("wait", args.wait),
        ("max_hold", args.max_hold),
    ];
    let settings = durations.into_iter().filter_map(|(name, duration)| {
        let (name, duration) = (Ident::new(name, own), as_tokens(duration?, &root));
        Some(quote!(.#name(#duration)))
    });
    let coord = quote_spanned!(own.located_at(coord.span())=> &(#coord));
    let call = |name: &str, arguments: TokenStream| {
        let name = Ident::new(name, own);
        quote!(#name(#arguments))
    };
    let mut revision = None;
    let (class_of, lock, held) = match &args.how {
        How::Alone => (call("mutexes", quote!(#class)), call("lock", id), "Lease"),
        How::Shared => (call("rw_locks", quote!(#class)), call("read", id), "Hold"),
        How::Permits(permits) => {
            let (of, each) = (&permits.of, &permits.each);
            revision = permits.revision.as_ref();
            // Who waits for no time at all tries.
            let tries = args.wait.is_some_and(|wait| wait.is_zero());
            let acquire = match (each, tries) {
                (None, false) => call("acquire", id),
                (None, true) => call("try_acquire", id),
                (Some(each), false) => call("acquire_many", quote!(#id, #each)),
                (Some(each), true) => call("try_acquire_many", quote!(#id, #each)),
            };
            (call("semaphores", quote!(#class, #of)), acquire, "Permit")
        }
    };
    let held = Ident::new(held, own);
    let revision = revision.map(|revision| quote!(.revision(#revision)));
    let lease = args.lease.as_ref();
    let lease = lease.map(|lease| quote_spanned!(own=> let #lease: &#root::#held = &guard;));
    // What is blamed is the type of the result: it is what may not fit.
    let blamed = own.located_at(*output);
    let blamed_root = respanned(&root, blamed);
    let refused = quote_spanned!(blamed=> #blamed_root::result(#blamed_root::refused(error)));
    let result = quote_spanned!(blamed=> #blamed_root::result(ended));
    // The body has the type that the function says, also where it could be another.
    let typed = (function.result.as_ref()).map(|result| {
        quote_spanned!(own=> if false {
            return #root::never::<#result>();
        })
    });
    let body = quote_spanned!(own=> {
        let locks = {
            let coord: &#root::Coordinator = #coord;
            coord.#class_of
        };
        let locked = match locks {
            ::core::result::Result::Ok(locks) => locks #(#settings)* #revision .#lock.await,
            ::core::result::Result::Err(error) => ::core::result::Result::Err(error),
        };
        let guard = match locked {
            ::core::result::Result::Ok(guard) => guard,
            ::core::result::Result::Err(error) => return #refused,
        };
        #lease
        let output = guard.run(async move { #typed #block }).await;
        let ended = #root::release(guard, output).await;
        #result
    });
    quote!(#(#attrs)* #vis #sig #body)
}

/// The module with everything that expansions use. Users depend on `leasehold`, so that is where it is; a macro cannot see
/// under which other name a crate knows it, hence `crate = ..`.
fn root(args: &Args) -> TokenStream {
    let path = args.krate.as_ref();
    path.map_or_else(
        || quote!(::leasehold::__macro),
        |path| respanned(&quote!(#path::__macro), Span::call_site()),
    )
}

fn as_tokens(duration: Duration, root: &TokenStream) -> TokenStream {
    let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    quote!(#root::Duration::from_millis(#millis))
}

/// The id, filled in. A value that has no `Display` is blamed on the literal.
fn id(name: &Name) -> TokenStream {
    let mut format = String::new();
    let mut values = Vec::new();
    for part in &name.id {
        match part {
            Part::Text(text) => format += &text.replace('{', "{{").replace('}', "}}"),
            Part::Value(value) => {
                format += "{}";
                values.push(self::value(value, name.literal.span()));
            }
        }
    }
    let format = syn::LitStr::new(&format, name.literal.span());
    quote!(::std::format!(#format #(, #values)*))
}

fn value(value: &Value, place: Span) -> TokenStream {
    let Value { of, fields, .. } = value;
    let of: TokenStream = of.parse().unwrap_or_default();
    respanned(&quote!(#of #(.#fields)*), place)
}

/// The same tokens, as if they stood at `place`.
fn respanned(tokens: &TokenStream, place: Span) -> TokenStream {
    let tokens = tokens.clone().into_iter().map(|mut token| {
        token.set_span(place);
        token
    });
    tokens.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How tokens are spaced is nobody's promise.
    fn without_blanks(text: &str) -> String {
        text.split_whitespace().collect()
    }

    fn expanded(args: &str, item: &str) -> String {
        let (args, item) = (args.parse().expect("tokens"), item.parse().expect("tokens"));
        without_blanks(&guarded(Attribute::Locked, args, &item).to_string())
    }

    #[test]
    fn a_permit_is_of_a_semaphore() {
        let (args, item) = (
            r#""tenant/{id}", self.size, permits = 2, revision = 3, ttl = "5s", coord = c, permit = held"#,
            "async fn f(&self, id: u8) -> R {}",
        );
        let (args, item) = (args.parse().expect("tokens"), item.parse().expect("tokens"));
        let text = without_blanks(&guarded(Attribute::Permit, args, &item).to_string());
        for part in [
            r#"coord.semaphores("tenant",self.size)"#,
            r#"Duration::from_millis(5000u64)).revision(3).acquire_many(::std::format!("{}",id),2).await"#,
            "letheld:&::leasehold::__macro::Permit=&guard;",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }

    #[test]
    fn the_function_is_as_it_was_and_its_body_runs_under_the_lease() {
        let text = expanded(
            r#""invoice/{id}-{db.shard}", ttl = "20s", wait = "0s", lease, crate = ::root"#,
            "#[doc = \"Pays.\"] pub(crate) async fn pay<'a, T>(coord: &'a Coordinator, db: T, id: u64) -> Result<(), E> \
             where T: Db { db.pay(id).await }",
        );
        assert_eq!(
            text,
            without_blanks(
                r#"
                #[doc = "Pays."]
                pub(crate) async fn pay<'a, T>(coord: &'a Coordinator, db: T, id: u64) -> Result<(), E>
                where T: Db {
                    let locks = {
                        let coord: &::root::__macro::Coordinator = &(coord);
                        coord.mutexes("invoice")
                    };
                    let locked = match locks {
                        ::core::result::Result::Ok(locks) => locks
                            .ttl(::root::__macro::Duration::from_millis(20000u64))
                            .wait(::root::__macro::Duration::from_millis(0u64))
                            .lock(::std::format!("{}-{}", id, db.shard)).await,
                        ::core::result::Result::Err(error) => ::core::result::Result::Err(error),
                    };
                    let guard = match locked {
                        ::core::result::Result::Ok(guard) => guard,
                        ::core::result::Result::Err(error) =>
                            return ::root::__macro::result(::root::__macro::refused(error)),
                    };
                    let lease: &::root::__macro::Lease = &guard;
                    let output = guard.run(async move {
                        if false { return ::root::__macro::never::<Result<(), E>>(); }
                        { db.pay(id).await }
                    }).await;
                    let ended = ::root::__macro::release(guard, output).await;
                    ::root::__macro::result(ended)
                }
                "#
            )
        );
    }

    #[test]
    fn leasehold_is_found_unless_told_otherwise() {
        let text = expanded(r#""m/7", coord = c"#, "async fn f() -> R {}");
        assert!(text.contains("::leasehold::__macro::result"), "{text}");
        assert!(!text.contains("Lease="), "{text}");
    }

    #[test]
    fn a_shared_one_reads() {
        let text = expanded(r#""m/7", coord = c, shared, lease"#, "async fn f() -> R {}");
        for part in [
            "coord.rw_locks(\"m\")",
            ".read(",
            "letlease:&::leasehold::__macro::Hold=&guard;",
        ] {
            assert!(text.contains(part), "{text}");
        }
    }

    #[test]
    fn a_result_without_a_name_is_left_to_the_compiler() {
        let text = expanded(
            r#""m/7", coord = c"#,
            "async fn f() -> Result<impl Sized, E> {}",
        );
        assert!(!text.contains("never"), "{text}");
    }

    #[test]
    fn the_function_stays_when_something_is_wrong() {
        let text = expanded(r#""invoice""#, "async fn f() -> R {}");
        assert!(
            text.contains("compile_error") && text.ends_with("asyncfnf()->R{}"),
            "{text}"
        );
    }

    #[test]
    fn only_functions_are_locked() {
        for item in ["struct S;", "async fn f() -> R;"] {
            let text = expanded(r#""m/7""#, item);
            assert!(text.contains("belongsonan`asyncfn`"), "{text}");
        }
    }
}
