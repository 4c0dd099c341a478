//! The attribute of `leasehold-scheduler`, which re-exports it: [`macro@singleton_job`].
#![forbid(unsafe_code)]

mod args;
mod attributes;
mod expand;
mod function;
mod nearest;
mod problems;

use proc_macro::TokenStream;

/// Turns an async function into a job that runs on one replica at a time.
///
/// ```
/// use leasehold_scheduler::{JobContext, State, jobs, singleton_job};
///
/// # #[derive(Clone)] struct Mailer;
/// # impl Mailer { async fn send_all(&self) -> Result<(), std::io::Error> { Ok(()) } }
/// /// Every weekday at half past two in the morning, UTC.
/// #[singleton_job("30 2 * * MON-FRI", crate = leasehold_scheduler)]
/// async fn send_reminders(State(mailer): State<Mailer>) -> Result<(), std::io::Error> {
///     mailer.send_all().await
/// }
///
/// /// Every two seconds, under a name that survives a move to another module.
/// #[singleton_job("*/2 * * * * *", name = "outbox", crate = leasehold_scheduler)]
/// async fn publish(ctx: JobContext) {}
///
/// let jobs = jobs![send_reminders, publish];
/// assert_eq!(jobs[1].name(), "outbox");
/// ```
///
/// # Arguments
///
/// 1. The cron expression, a string literal. It is checked when the crate is compiled; an error repeats the expression
///    with carets under what is wrong. `leasehold-cron` describes the syntax.
/// 2. `name = "..."`, optional: what the job is called in the store. Every replica has to use the same name, so give one
///    before the function is renamed or moved. At most 512 bytes, not empty, no control characters. Without it the name
///    is the path of the function, as in `shop::mail::send_reminders`.
/// 3. `crate = path`, optional: where the scheduler is, if not in `::leasehold::scheduler`: because the dependency was
///    renamed, or because `leasehold-scheduler` is used without `leasehold`.
///
/// # The function
///
/// An `async fn` without `self`, generics or `unsafe`. Each argument is of a type that implements `FromRun`:
/// `JobContext`, or `State<T>`, which the scheduler demands when it is built and not when the job runs. It returns `()`
/// or a `Result<(), E>` whose error converts into a boxed one.
///
/// The function itself stays as it is and can be called like any other. A type of the same name and visibility stands
/// beside it, and `jobs!` finds the job through it: importing the function imports the job.
#[proc_macro_attribute]
pub fn singleton_job(args: TokenStream, item: TokenStream) -> TokenStream {
    expand::singleton_job(args.into(), &item.into()).into()
}
