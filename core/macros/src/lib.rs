//! The attribute of `leasehold`, which re-exports it: [`macro@locked`].
#![forbid(unsafe_code)]

mod args;
mod expand;
mod function;
mod name;
mod problems;

use proc_macro::TokenStream;

/// Locks a mutex for as long as an async function runs, or reads a read-write lock.
///
/// ```
/// # use std::time::Duration;
/// use leasehold::Coordinator;
/// # #[allow(unused_imports)] use leasehold_macros::locked;
/// # struct Db; impl Db { async fn pay(&self, _: u64, _: leasehold::Fence) -> Result<(), leasehold::Error> { Ok(()) } }
///
/// /// No two replicas pay the same invoice at a time.
/// #[locked("invoice/{id}", ttl = "30s", wait = "5s", lease)]
/// async fn pay(coord: &Coordinator, db: &Db, id: u64) -> Result<(), leasehold::Error> {
///     db.pay(id, lease.fence()).await
/// }
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// # let coord = Coordinator::builder(leasehold::store::MemoryStore::new(), "billing").connect().await?;
/// pay(&coord, &Db, 42).await?;
/// # Ok::<(), leasehold::Error>(()) }).unwrap();
/// ```
///
/// It is what `coord.mutexes("invoice")?.ttl(..).wait(..).with(id, ..)` does: waits in the queue, runs the body, releases. A
/// lease that is lost stops the body where it waits, and is an error.
///
/// # The name
/// `class/id`, a string literal. The class, before the first `/`, is written out, since it is what carries settings and
/// becomes a metric label. In the id, `{argument}`, `{argument.field}` and `{self.field}` stand for values, which are formatted
/// with `Display` before the body begins; `{{` and `}}` for braces, as in `"line/{{{order}}}/{id}"`, which is line `id` of the group
/// `order`. It is the mutex that a program locks with
/// `coord.mutexes("invoice")` and this id, and the command line as `invoice/42`.
///
/// # Options
/// - `ttl = "30s"`: how long the lease outlives a holder that dies (default 30 s).
/// - `wait = "5s"`: how long to wait in the queue (default 10 s); `"0s"` doesn't wait.
/// - `max_hold = "1h"`: how long the body may take in all (default 1 h).
/// - `coord = self.coord`: an expression that is the `Coordinator`, a reference to it, or an `Arc` of it. Without it an
///   argument is, of the type `Coordinator` or `&Coordinator`.
/// - `lease`: the body sees the lease as `lease`, a `&Lease`: for its fence, `check()`, `remaining()`. `lease = held` names it
///   otherwise.
/// - `shared`: reads a read-write lock (`coord.rw_locks(class)`), so that any number of these run at a time, and none while
///   one without it does. `lease` is a `&Hold` then, without a fence.
/// - `crate = path`: where leasehold is, if not in `::leasehold`.
///
/// Durations are written as everywhere in leasehold, `30s`, `250ms`, `1h 30m`: numbers with a unit each (`humantime`
/// has them all).
///
/// # The function
/// An `async fn`, also a method or a generic one. It returns a `Result` whose error converts from `leasehold::Error` (`anyhow`'s
/// does): `Busy` if the wait was not enough, `Unavailable` if the store can't say, `Lost` if the lease was lost before the body
/// ended. Like every lock this one is not re-entrant: a call of itself with the same id is told so.
///
/// # Cancel safety
/// As the body; whenever the call is dropped, the lease ends in the background.
#[proc_macro_attribute]
pub fn locked(args: TokenStream, item: TokenStream) -> TokenStream {
    expand::locked(args.into(), &item.into()).into()
}
