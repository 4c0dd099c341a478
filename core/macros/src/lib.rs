//! The attributes of `leasehold`, which re-exports them: [`macro@locked`], [`macro@permit`].
#![forbid(unsafe_code)]

mod args;
mod expand;
mod function;
mod how;
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
    expand::guarded(how::Attribute::Locked, args.into(), &item.into()).into()
}

/// Runs an async function under a permit of a semaphore: so many of it run at a time, in the whole fleet.
///
/// ```
/// # use std::time::Duration;
/// use leasehold::Coordinator;
/// # #[allow(unused_imports)] use leasehold_macros::permit;
/// # struct Client; impl Client { async fn post(&self, _: u64) -> Result<(), leasehold::Error> { Ok(()) } }
///
/// /// Stripe lets us call it 20 times at once.
/// #[permit("stripe", 20)]
/// async fn charge(coord: &Coordinator, client: &Client, cents: u64) -> Result<(), leasehold::Error> {
///     client.post(cents).await
/// }
///
/// /// An export is as much as 4 calls; each tenant has 10.
/// #[permit("tenant/{tenant}", 10, permits = 4, wait = "1m")]
/// async fn export(coord: &Coordinator, tenant: &str) -> Result<(), leasehold::Error> {
///     Ok(())
/// }
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// # let coord = Coordinator::builder(leasehold::store::MemoryStore::new(), "billing").connect().await?;
/// charge(&coord, &Client, 100).await?;
/// export(&coord, "acme").await?;
/// # Ok::<(), leasehold::Error>(()) }).unwrap();
/// ```
///
/// It is what `coord.semaphore("stripe", 20)?.run(..)` does, and of the same semaphore: waits in the queue, runs the body,
/// gives back. A permit that is lost stops the body where it waits, and is an error.
///
/// # The name
/// As that of [`macro@locked`]: `class/id`, with arguments in the id. A name alone, without `{` and `/`, is the one semaphore of
/// its class, as of `coord.semaphore(name, ..)`.
///
/// # The number
/// How many permits there are: an expression of type `u32`, in which the arguments can be used. Programs that say different
/// numbers at a time go by the one of the highest `revision`, and of equal ones by the smaller.
///
/// # Options
/// `ttl`, `wait`, `max_hold`, `coord` and `crate` as those of [`macro@locked`], and:
/// - `permits = 2`: how many a call holds (default 1), an expression of type `u32`.
/// - `revision = 1`: which announcement of the number it is (default 0), an expression of type `u32`.
/// - `permit`: the body sees it as `permit`, a `&Permit`. `permit = held` names it otherwise.
///
/// # The function
/// As that of [`macro@locked`]; but a call of itself takes another permit, and so waits for one.
///
/// # Cancel safety
/// As the body; whenever the call is dropped, the permit is given back in the background.
#[proc_macro_attribute]
pub fn permit(args: TokenStream, item: TokenStream) -> TokenStream {
    expand::guarded(how::Attribute::Permit, args.into(), &item.into()).into()
}
