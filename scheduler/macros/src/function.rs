//! What a function has to look like to be a job.

use proc_macro2::Span;
use syn::spanned::Spanned;
use syn::{FnArg, ItemFn, Result, ReturnType, Safety, Type};

use crate::problems::Problems;

/// What an expansion needs to know of the function.
pub(crate) struct Function {
    /// The types of its arguments, in order.
    pub(crate) arguments: Vec<Type>,
    /// Where to point if the result is not one of a job.
    pub(crate) output: Span,
}

impl Function {
    /// Every reason why the function can't be a job, in one error.
    pub(crate) fn check(item: &ItemFn) -> Result<Self> {
        let sig = &item.sig;
        let mut problems = Problems::default();
        if sig.asyncness.is_none() {
            problems.add(&sig.fn_token, "a job is an `async fn`");
        }
        if !matches!(sig.safety, Safety::Default) {
            problems.add(&sig.safety, "a job is not `unsafe`: the scheduler calls it");
        }
        if let Some(abi) = &sig.abi {
            problems.add(abi, "a job has no `extern` ABI");
        }
        if !sig.generics.params.is_empty() {
            problems.add(
                &sig.generics,
                "a job has no generics: the scheduler could not choose them",
            );
        } else if let Some(clause) = &sig.generics.where_clause {
            problems.add(clause, "a job has no `where` clause");
        }
        let mut arguments = Vec::new();
        for input in &sig.inputs {
            match input {
                FnArg::Receiver(receiver) => problems.add(
                    receiver,
                    "a job is a function, not a method: take what it needs as `State<T>`",
                ),
                FnArg::Typed(argument) => match &*argument.ty {
                    Type::ImplTrait(ty) => {
                        problems.add(ty, "the type of a job's argument has to be written out");
                    }
                    ty => arguments.push(ty.clone()),
                },
            }
        }
        problems.into_result()?;
        Ok(Self {
            arguments,
            output: match &sig.output {
                ReturnType::Default => sig.ident.span(),
                ReturnType::Type(_, ty) => ty.span(),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(item: &str) -> Result<Function> {
        Function::check(&syn::parse_str(item)?)
    }

    fn refused(item: &str) -> Vec<String> {
        match check(item) {
            Ok(_) => panic!("`{item}` was accepted"),
            Err(error) => error.into_iter().map(|error| error.to_string()).collect(),
        }
    }

    #[test]
    fn plain_async_functions_are_jobs() {
        let Ok(function) = check(
            "#[cfg(unix)] #[doc = \"docs\"] pub(crate) async fn f(a: A, B(b): B<C>) -> Result<(), E> {}",
        ) else {
            panic!("it is a job");
        };
        assert_eq!(function.arguments.len(), 2);
    }

    #[test]
    fn every_problem_is_told_at_once() {
        let problems = refused("unsafe extern \"C\" fn f<T>(&self, a: impl Sized) {}");
        assert_eq!(problems.len(), 6, "{problems:?}");
    }

    #[test]
    fn functions_that_are_not_async_are_not_jobs() {
        assert_eq!(refused("fn f() {}"), ["a job is an `async fn`"]);
    }
}
