//! Running other programs, with what is run and how long it took on the screen.

use std::env;
use std::fmt;
use std::path::Path;
use std::process::{Command, ExitCode, ExitStatus};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// The workspace's root.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("xtask lies in the workspace")
}

/// The same `cargo` that runs this, in the workspace's root.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    // What `cargo run` told us about xtask would rebuild crates whose build scripts read it.
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&name);
        }
    }
    command
}

/// Prints a step, carries it out and prints how long it took.
pub(crate) fn step<T>(title: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    eprintln!("\n==> {title}");
    let started = Instant::now();
    let outcome = work();
    eprintln!("    {title}: {}", Elapsed(started.elapsed()));
    outcome
}

/// Runs a command with its output on the screen.
pub(crate) fn show(command: &mut Command) -> Result<ExitStatus> {
    announce(command);
    command
        .status()
        .with_context(|| format!("could not run {}", line(command)))
}

/// Runs a command for its standard output; anything but success is an error with what it printed.
pub(crate) fn capture(command: &mut Command) -> Result<String> {
    let output = command
        .output()
        .with_context(|| format!("could not run {}", line(command)))?;
    if !output.status.success() {
        bail!(
            "{} failed ({}):\n{}",
            line(command),
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
    }
    String::from_utf8(output.stdout)
        .with_context(|| format!("{} printed something else than text", line(command)))
}

/// Prints a command as one would type it.
pub(crate) fn announce(command: &Command) {
    eprintln!("    {}", line(command));
}

fn line(command: &Command) -> String {
    let program = Path::new(command.get_program())
        .file_name()
        .unwrap_or_default();
    let environment = command.get_envs().filter_map(|(name, value)| {
        Some(format!(
            "{}={:?}",
            name.to_string_lossy(),
            value?.to_string_lossy()
        ))
    });
    let words = std::iter::once(program)
        .chain(command.get_args())
        .map(|word| word.to_string_lossy().into_owned());
    environment.chain(words).collect::<Vec<_>>().join(" ")
}

/// The exit code to end with so that ours is the command's. A command ended by a signal has none: 1.
pub(crate) fn exit_code(status: ExitStatus) -> ExitCode {
    match status.code().map(u8::try_from) {
        Some(Ok(code)) => ExitCode::from(code),
        _ => ExitCode::FAILURE,
    }
}

/// A duration as people say it: `4.2 s`, `3 min 20 s`.
pub(crate) struct Elapsed(pub(crate) Duration);

impl fmt::Display for Elapsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_secs() {
            0..60 => write!(f, "{:.1} s", self.0.as_secs_f64()),
            seconds => write!(f, "{} min {} s", seconds / 60, seconds % 60),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_printed_as_one_would_type_it() {
        let mut command = Command::new("/usr/bin/cargo");
        command
            .args(["doc", "--no-deps"])
            .env("RUSTDOCFLAGS", "-D warnings")
            .env_remove("CARGO_PKG_NAME");
        assert_eq!(
            line(&command),
            r#"RUSTDOCFLAGS="-D warnings" cargo doc --no-deps"#
        );
    }

    #[test]
    fn durations_read_well() {
        assert_eq!(Elapsed(Duration::from_millis(4230)).to_string(), "4.2 s");
        assert_eq!(Elapsed(Duration::from_secs(200)).to_string(), "3 min 20 s");
    }

    #[test]
    fn the_output_of_a_failed_command_is_in_the_error() {
        let error =
            capture(Command::new("sh").args(["-c", "echo why >&2; exit 3"])).expect_err("it fails");
        assert!(error.to_string().contains("why"), "{error}");
    }
}
