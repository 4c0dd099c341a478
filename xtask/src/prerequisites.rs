//! The programs the tests need beside Rust.

use std::env;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Result, bail};

use crate::run::{capture, show};

struct Tool {
    program: &'static str,
    debian_packages: &'static str,
    why: &'static str,
}

const TOOLS: [Tool; 2] = [
    Tool {
        program: "cc",
        debian_packages: "gcc libc6-dev",
        why: "compiles SQLite, the cryptography of TLS, and a clock that tests set",
    },
    Tool {
        program: "redis-server",
        debian_packages: "redis-server",
        why: "the Redis store is tested on real servers",
    },
];

/// Installs what is missing where that needs no password (as root on Debian and its like); fails elsewhere,
/// with the command to type.
pub(crate) fn ensure() -> Result<()> {
    let missing: Vec<&Tool> = TOOLS
        .iter()
        .filter(|tool| find(tool.program).is_none())
        .collect();
    if missing.is_empty() {
        ensure_new_enough()?;
        eprintln!("    found {}", TOOLS.map(|tool| tool.program).join(" and "));
        return Ok(());
    }
    let packages = missing
        .iter()
        .map(|tool| tool.debian_packages)
        .collect::<Vec<_>>()
        .join(" ");
    let reasons = missing
        .iter()
        .map(|tool| format!("{} is missing ({})", tool.program, tool.why))
        .collect::<Vec<_>>()
        .join(", ");
    if find("apt-get").is_none() {
        bail!(
            "{reasons}: install it with your system's package manager; Debian's packages are: {packages}"
        );
    }
    if capture(Command::new("id").arg("-u"))?.trim() != "0" {
        bail!("{reasons}: type\n\n    sudo apt-get install -y {packages}\n");
    }
    eprintln!("    {reasons}: installing {packages} with apt-get");
    apt_get(&["update"])?;
    let mut install = vec!["install", "-y", "--no-install-recommends"];
    install.extend(packages.split(' '));
    apt_get(&install)?;
    if let Some(tool) = missing.iter().find(|tool| find(tool.program).is_none()) {
        bail!(
            "{} is still not on the PATH after apt-get installed {}",
            tool.program,
            tool.debian_packages
        );
    }
    ensure_new_enough()
}

/// The store refuses older servers, so the tests would fail one by one.
fn ensure_new_enough() -> Result<()> {
    let text = capture(Command::new("redis-server").arg("--version"))?;
    let version = text
        .split_whitespace()
        .find_map(|word| word.strip_prefix("v="));
    let major = version.and_then(|version| version.split('.').next()?.parse::<u32>().ok());
    match major {
        Some(0..7) => bail!(
            "redis-server is {}: the tests need 7.0 or newer; install one, and put it first on the PATH",
            version.unwrap_or_default()
        ),
        _ => Ok(()),
    }
}

fn apt_get(args: &[&str]) -> Result<()> {
    let mut command = Command::new("apt-get");
    // In run level 1 Debian's packages start no service: the tests start servers of their own, never on port 6379.
    command
        .args(args)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .env("RUNLEVEL", "1");
    let status = show(command.stdin(std::process::Stdio::null()))?;
    if !status.success() {
        bail!("apt-get {} failed ({status})", args.join(" "));
    }
    Ok(())
}

fn find(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path)
        .map(|dir| dir.join(program))
        .find(|file| file.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_found_on_the_path() {
        assert!(find("sh").is_some());
        assert!(find("no-such-program").is_none());
    }
}
