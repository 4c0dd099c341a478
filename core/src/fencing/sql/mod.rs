//! SQL texts that refuse an old fence, for any driver.
//!
//! Two places to keep the fence: a column of the row that is written ([`FenceColumn`]), or, where a row can't get one or
//! several rows are written together, a table with one row a resource ([`FenceTable`]), in the same transaction.
//!
//! Each [`Statement`] has the text and, in [`Statement::parameters`], what to bind in which order: the values, the fence
//! ([`Fence::as_i64`](crate::Fence::as_i64)), the key. [`check_rows`](crate::fencing::check_rows) reads the answer.
//!
//! ```
//! use leasehold_core::fencing::sql::{Dialect, FenceColumn};
//! let invoices = FenceColumn::new(Dialect::Postgres, "invoice", &["id"])?;
//! assert_eq!(
//!     invoices.update(&["amount"])?.sql(),
//!     r#"UPDATE "invoice" SET "amount" = $1, "fence" = $2 WHERE "id" = $3 AND "fence" <= $2"#
//! );
//! # Ok::<(), leasehold_core::fencing::sql::SqlError>(())
//! ```

mod column;
mod identifier;
mod statement;
mod table;

pub use column::FenceColumn;
pub use identifier::SqlError;
pub use statement::{Dialect, Parameter, Statement};
pub use table::FenceTable;
