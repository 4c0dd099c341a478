//! The attribute of `leasehold-scheduler`, which re-exports it: [`macro@singleton_job`].
#![forbid(unsafe_code)]

mod args;
mod attributes;
mod expand;
mod function;
mod nearest;
mod problems;

use proc_macro::TokenStream;

/// Turns an async function into a job: each of its ticks starts once, on one of the replicas.
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
/// First the cron expression, a string literal: five fields as POSIX has them, six that begin with seconds, seven that end
/// with years, or `@daily` and its like; the documentation of `leasehold-cron`, whose `Schedule` it becomes, describes all
/// of it. `"-"` is never due by itself: such a job only runs when it is triggered, and what else is said of it stays.
///
/// Then, in any order, each of them optional and a literal:
///
/// | argument | what it says | without it |
/// |---|---|---|
/// | `tz = "Europe/Berlin"` | the zone whose clocks count, by its IANA name | UTC |
/// | `dst = "skip"` | what becomes of a fixed time that clocks skip or repeat: `once` (a skipped one at the first instant after the gap, a repeated one on the first pass), `skip` (a skipped one not at all), `both` (a repeated one on both passes) | `once` |
/// | `misfire = "run_once"` | what becomes of ticks that no node started in time: `skip` (recorded as missed), `run_once` (the latest runs), `run_all(1h, 20)` (up to 20 of the last hour, oldest first) | `skip` |
/// | `overlap = "queue_one"` | what becomes of a tick while a run is under way: `skip`, `queue_one`, `queue_all(20)`, `cancel_running`, `allow(3)` (up to three at a time) | `skip` |
/// | `jitter = "30s"` | each tick starts up to so much later, always the same for the same tick; less than from one tick to the next | none |
/// | `timeout = "10m"` | a run that takes longer is cancelled, and dropped a second later | none |
/// | `retries = 3` | how often a tick is tried again that failed or timed out, from 0 to 100 | 0 |
/// | `backoff = "10s"` | the pause before the first of them; it doubles each time, up to an hour | 10 s |
/// | `on_crash = "retry"` | what becomes of a run whose node went away: `skip` (it starts at most once), `retry` (it may be done twice) | `skip` |
/// | `only_on = "gpu, eu"` | only nodes run it that have all of these labels (`Builder::label`) | every node |
/// | `name = ".."` | what the job is called, and what it is in the store: the same on every replica; 1 to 512 bytes, no control characters | `crate::module::function` |
/// | `aliases = [".."]` | its former names, newest first. The last one stays what it is in the store, for good, so never drop it | none |
/// | `crate = path` | where the scheduler is: because the dependency was renamed, or `leasehold-scheduler` is used without `leasehold` | `::leasehold::scheduler` |
///
/// Durations are written like `30s`, `10m` or `1h 30m`. All of it is checked when the crate is compiled, also that it makes
/// sense together: each error underlines its argument, and one in the expression repeats it with carets under what is
/// wrong.
///
/// **Renaming or moving the function renames a job without `name`**, and a job of another name is a new one: its history
/// stays behind, and while old and new replicas run side by side both jobs do. Give it a `name`, or `aliases` with the
/// former one.
///
/// # Several jobs of one function
///
/// Each attribute is a job. One of them may go without a name.
///
/// ```
/// use leasehold_scheduler::{JobContext, jobs, singleton_job};
///
/// #[singleton_job("0 7 * * MON-FRI", tz = "Europe/Berlin", misfire = "run_once", retries = 3, crate = leasehold_scheduler)]
/// #[singleton_job("0 7 * * MON-FRI", tz = "Asia/Tokyo", name = "report for tokyo", crate = leasehold_scheduler)]
/// #[singleton_job("-", name = "report on demand", timeout = "10m", crate = leasehold_scheduler)]
/// async fn report(ctx: JobContext) {
///     println!("{}", ctx.job());
/// }
/// assert_eq!(jobs![report].len(), 3);
/// ```
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
