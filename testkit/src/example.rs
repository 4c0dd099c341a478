//! Finding the example binaries that Cargo built beside the running test.

use std::env::{consts::EXE_SUFFIX, current_exe};
use std::path::PathBuf;

/// The path of the example `name` of the same build profile as the running test.
///
/// `cargo test` builds a package's examples before its tests run; `cargo test --test <file>` does not.
///
/// # Panics
///
/// When the example has not been built, saying how to build it.
///
/// # Examples
///
/// ```no_run
/// use std::process::Command;
/// use leasehold_testkit::{Process, example_binary};
///
/// let replica = Process::spawn(Command::new(example_binary("replica")).arg("--once"));
/// ```
#[track_caller]
pub fn example_binary(name: &str) -> PathBuf {
    let test = current_exe().expect("a test knows its own path");
    // target/debug/deps/some_test-0123456789abcdef -> target/debug/examples/name
    let profile = test
        .parent()
        .and_then(|deps| deps.parent())
        .expect("a test lies in target/<profile>/deps");
    let path = profile.join("examples").join(format!("{name}{EXE_SUFFIX}"));
    assert!(
        path.is_file(),
        "the example `{name}` is not built at {}: run `cargo build --workspace --all-features --examples`, or `cargo xtask test`",
        path.display()
    );
    path
}

#[cfg(test)]
mod tests {
    #[test]
    #[should_panic(expected = "the example `no-such-example` is not built")]
    fn a_missing_example_says_how_to_build_it() {
        super::example_binary("no-such-example");
    }
}
