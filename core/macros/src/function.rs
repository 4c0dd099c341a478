//! What a function has to look like to be locked, and what of it the name may use.

use proc_macro2::{Span, TokenStream, TokenTree};
use quote::quote;
use syn::spanned::Spanned;
use syn::{Error, FnArg, Ident, ItemFn, Pat, Path, Result, ReturnType, Type};

use crate::args::Args;
use crate::how::Attribute;
use crate::name::{Name, Part, Value};
use crate::problems::Problems;

/// What an expansion needs to know of the function.
pub(crate) struct Function {
    /// The coordinator.
    pub(crate) coord: TokenStream,
    /// Where to point if the result is none that can say "busy".
    pub(crate) output: Span,
    /// The result, if it can be written elsewhere, too.
    pub(crate) result: Option<Type>,
}

impl Function {
    /// Every reason why the function can't be locked, in one error.
    pub(crate) fn check(item: &ItemFn, args: &Args) -> Result<Self> {
        let mut problems = Problems::default();
        let sig = &item.sig;
        if sig.asyncness.is_none() {
            let message = match args.attribute() {
                Attribute::Locked => "what is locked is an `async fn`: it waits for the store",
                Attribute::Permit => "what needs a permit is an `async fn`: it waits for the store",
            };
            problems.add(&sig.fn_token, message);
        }
        let output = match &sig.output {
            ReturnType::Type(_, ty) => ty.span(),
            ReturnType::Default => {
                let message = match args.attribute() {
                    Attribute::Locked => {
                        "a locked function returns `Result<_, E>` with `E: From<leasehold::Error>`: it can be busy, or the \
                         lease lost"
                    }
                    Attribute::Permit => {
                        "a function that needs a permit returns `Result<_, E>` with `E: From<leasehold::Error>`: it can be \
                         busy, or the permit lost"
                    }
                };
                problems.add(&sig.ident, message);
                sig.ident.span()
            }
        };
        let arguments = Arguments::of(item);
        for part in &args.name.id {
            if let Part::Value(value) = part {
                arguments.check(&args.name, value, &mut problems);
            }
        }
        if let Some(lease) = &args.lease
            && arguments.names.contains(&lease.to_string())
        {
            let message = format!(
                "an argument is called `{lease}` already: write `{} = another_name`",
                args.attribute().guard()
            );
            problems.add(lease, message);
        }
        let coord = match &args.coord {
            Some(coord) => Some(quote!(#coord)),
            None => problems.settle(arguments.coordinator(&sig.ident, args.attribute())),
        };
        problems.into_result()?;
        Ok(Self {
            coord: coord.unwrap_or_default(),
            output,
            result: match &sig.output {
                ReturnType::Type(_, ty) if !has_impl(ty) => Some((**ty).clone()),
                _ => None,
            },
        })
    }
}

/// Whether `impl Trait` is in it, which stands for one type in one place.
fn has_impl(ty: &Type) -> bool {
    fn any(tokens: TokenStream) -> bool {
        tokens.into_iter().any(|token| match token {
            TokenTree::Ident(word) => word == "impl",
            TokenTree::Group(group) => any(group.stream()),
            _ => false,
        })
    }
    any(quote!(#ty))
}

/// What the arguments bring into the body.
struct Arguments {
    has_self: bool,
    /// Names, in order, also those within patterns.
    names: Vec<String>,
    coordinators: Vec<Ident>,
}

impl Arguments {
    fn of(item: &ItemFn) -> Self {
        let mut arguments = Self {
            has_self: item.sig.receiver().is_some(),
            names: Vec::new(),
            coordinators: Vec::new(),
        };
        for input in &item.sig.inputs {
            if let FnArg::Typed(argument) = input {
                bind(&argument.pat, &mut arguments.names);
                if let Pat::Ident(name) = &*argument.pat
                    && is_coordinator(&argument.ty)
                {
                    arguments.coordinators.push(name.ident.clone());
                }
            }
        }
        arguments
    }

    fn check(&self, name: &Name, value: &Value, problems: &mut Problems) {
        let message = match value.of.as_str() {
            "self" if !self.has_self => {
                format!(
                    "`{{{}}}` needs a method: this function has no `self`",
                    value.text
                )
            }
            "self" if value.fields.is_empty() => {
                "`{self}` names no resource: write which field, as in `{self.id}`".into()
            }
            of if of != "self" && !self.names.iter().any(|known| known == of) => {
                format!(
                    "`{{{}}}` is no argument of this function: {}",
                    value.text,
                    self.listed()
                )
            }
            _ => return,
        };
        problems.add(&name.literal, message);
    }

    fn listed(&self) -> String {
        let own = self.has_self.then(|| "`{self.field}`".to_owned());
        let names = self.names.iter().map(|name| format!("`{{{name}}}`"));
        let listed: Vec<_> = own.into_iter().chain(names).collect();
        if listed.is_empty() {
            return "it has none".into();
        }
        format!("there are {}", listed.join(", "))
    }

    fn coordinator(&self, function: &Ident, attribute: Attribute) -> Result<TokenStream> {
        let word = attribute.as_str();
        let message = match &self.coordinators[..] {
            [one] => return Ok(quote!(#one)),
            [one, other, ..] => format!(
                "both `{one}` and `{other}` are a `Coordinator`: say which one it is, `#[{word}(.., coord = {one})]`"
            ),
            [] if self.has_self => {
                format!(
                    "where is the `Coordinator`? Say it, as in `#[{word}(.., coord = self.coord)]`, or take an argument \
                     `coord: &Coordinator`"
                )
            }
            [] => format!(
                "no argument is a `Coordinator`: take `coord: &Coordinator`, or say where it is, as in \
                 `#[{word}(.., coord = app.coord)]`"
            ),
        };
        Err(Error::new(function.span(), message))
    }
}

/// By its name: a macro knows no types.
fn is_coordinator(ty: &Type) -> bool {
    match ty {
        Type::Reference(reference) => is_coordinator(&reference.elem),
        Type::Paren(inner) => is_coordinator(&inner.elem),
        Type::Group(inner) => is_coordinator(&inner.elem),
        Type::Path(path) => is_called_coordinator(&path.path),
        _ => false,
    }
}

fn is_called_coordinator(path: &Path) -> bool {
    (path.segments.last())
        .is_some_and(|last| last.ident == "Coordinator" && last.arguments.is_empty())
}

/// The names that a pattern binds.
fn bind(pattern: &Pat, names: &mut Vec<String>) {
    match pattern {
        Pat::Ident(name) => {
            names.push(name.ident.to_string());
            if let Some((_, inner)) = &name.subpat {
                bind(inner, names);
            }
        }
        Pat::Reference(inner) => bind(&inner.pat, names),
        Pat::Paren(inner) => bind(&inner.pat, names),
        Pat::Type(inner) => bind(&inner.pat, names),
        Pat::Tuple(tuple) => tuple.elems.iter().for_each(|inner| bind(inner, names)),
        Pat::TupleStruct(tuple) => tuple.elems.iter().for_each(|inner| bind(inner, names)),
        Pat::Slice(slice) => slice.elems.iter().for_each(|inner| bind(inner, names)),
        Pat::Struct(fields) => fields
            .fields
            .iter()
            .for_each(|field| bind(&field.pat, names)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(args: &str, item: &str) -> Result<Function> {
        Function::check(&syn::parse_str(item)?, &syn::parse_str(args)?)
    }

    fn refused(args: &str, item: &str) -> Vec<String> {
        match check(args, item) {
            Ok(_) => panic!("`{item}` was accepted"),
            Err(error) => error.into_iter().map(|error| error.to_string()).collect(),
        }
    }

    #[test]
    fn values_are_arguments_also_within_patterns() {
        let item = "async fn f(&self, c: &leasehold::Coordinator, (a, B { b, c: [d, ..] }): X, &e: &u8) -> R {}";
        for name in ["a", "b", "d", "e", "self.x", "b.x.0"] {
            assert!(check(&format!("\"m/{{{name}}}\""), item).is_ok(), "{name}");
        }
        let errors = refused(r#""m/{id}""#, item);
        assert_eq!(
            errors,
            [
                "`{id}` is no argument of this function: there are `{self.field}`, `{c}`, `{a}`, `{b}`, `{d}`, `{e}`"
            ]
        );
        assert!(refused(r#""m/{self}""#, item)[0].contains("which field"));
    }

    #[test]
    fn the_coordinator_is_an_argument_of_that_type_or_is_named() {
        for ty in [
            "Coordinator",
            "&Coordinator",
            "&'a leasehold::Coordinator",
            "&(Coordinator)",
        ] {
            let item = format!("async fn f<'a>(x: u8, c: {ty}) -> R {{}}");
            let function = check(r#""m/7""#, &item).unwrap_or_else(|error| panic!("{ty}: {error}"));
            assert_eq!(function.coord.to_string(), "c");
        }
        assert!(check(r#""m/7", coord = x.y()"#, "async fn f() -> R {}").is_ok());
        let errors = refused(r#""m/7""#, "async fn f(&self) -> R {}");
        assert!(errors[0].contains("coord = self.coord"), "{errors:?}");
        let errors = refused(
            r#""m/7""#,
            "async fn f(a: Coordinator, b: &Coordinator) -> R {}",
        );
        assert!(errors[0].contains("say which one"), "{errors:?}");
        let errors = refused(r#""m/7""#, "async fn f(a: Coordinator<T>) -> R {}");
        assert!(errors[0].contains("no argument is"), "{errors:?}");
    }

    #[test]
    fn every_problem_is_told_at_once() {
        let errors = refused(r#""m/{a}-{self.b}", lease = c"#, "fn f(c: u8) {}");
        assert_eq!(errors.len(), 6, "{errors:?}");
    }
}
