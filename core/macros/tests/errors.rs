//! Mistakes in `#[locked]` and `#[permit]` are compile errors that say where and what.
//!
//! After a change of an error's text: `TRYBUILD=overwrite cargo test -p leasehold-macros --test errors`, and read the
//! difference.

#[test]
fn mistakes_in_a_guarded_function_are_compile_errors() {
    trybuild::TestCases::new().compile_fail("tests/ui/*.rs");
}
