//! The command line: which commands there are and how they are told apart.

use std::env;
use std::fmt::Write as _;
use std::process::ExitCode;

use crate::{bench, check, dependencies, proofs, rust_versions, sim, test};

struct Task {
    name: &'static str,
    about: &'static str,
    takes: Takes,
    run: fn(&[String]) -> anyhow::Result<ExitCode>,
}

/// What a command takes beside its name.
#[derive(PartialEq)]
enum Takes {
    Nothing,
    /// What follows a `--`, for the program that it runs.
    AfterDashes,
    /// Everything, for the program that it runs.
    All,
}

const TASKS: [Task; 9] = [
    Task {
        name: "test",
        about: "install what the tests need (redis-server), then run every test of every crate;\n\
                what follows `--` goes to cargo test: `cargo xtask test -- -p leasehold-core lease`",
        takes: Takes::AfterDashes,
        run: test::run,
    },
    Task {
        name: "check",
        about: "all that is verified without running tests:\n\
                rustfmt, clippy, rustdoc, rust-versions and dependencies",
        takes: Takes::Nothing,
        run: |_| check::run(),
    },
    Task {
        name: "sim",
        about: "play many seeds of a fleet that meets every fault, and check every promise:\n\
                `cargo xtask sim --seeds 500`, `cargo xtask sim --seed 7` for one alone;\n\
                `--what locks|schedulers` plays those alone;\n\
                `cargo xtask sim --planted` shows that each planted bug is caught",
        takes: Takes::All,
        run: sim::run,
    },
    Task {
        name: "bench",
        about: "measure on a Redis server of its own, for some minutes, and write the table of\n\
                docs/PERFORMANCE.md; nothing else should run meanwhile",
        takes: Takes::Nothing,
        run: |_| bench::run(),
    },
    Task {
        name: "rust-versions",
        about: "fail if a crate declares an older Rust than its dependencies need",
        takes: Takes::Nothing,
        run: |_| rust_versions::run(),
    },
    Task {
        name: "dependencies",
        about: "count what users download; fail above the budget,\n\
                or if the base features pull in TLS, SQL or a web server",
        takes: Takes::Nothing,
        run: |_| dependencies::run(),
    },
    Task {
        name: "soak",
        about: "four processes share locks and are stopped, killed and cut off at random; fails if two\n\
                holders met or somebody waited in vain: `--store redis|sqlite [--minutes 10] [--seed 1]`",
        takes: Takes::All,
        run: |arguments| proofs::run("soak", arguments),
    },
    Task {
        name: "scale",
        about: "three processes with many jobs on a Redis server of its own; fails if a tick has not exactly one\n\
                outcome, or starts are late: `[every-second|idle|failover] [--jobs N] [--seconds S]`",
        takes: Takes::All,
        run: |arguments| proofs::run_fast("scale", arguments),
    },
    Task {
        name: "cancellations",
        about: "drop lock calls on a Redis server of its own at random instants; fails if anything stays:\n\
                `[--count 100000] [--names 10000] [--seed 1]`",
        takes: Takes::All,
        run: |arguments| proofs::run("cancellations", arguments),
    },
];

pub(crate) fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    let outcome = match parse(&args) {
        Ok(Request::Help) => {
            print!("{}", help());
            return ExitCode::SUCCESS;
        }
        Ok(Request::Run(task, passed)) => (task.run)(passed),
        Err(wrong) => {
            eprintln!("error: {wrong}");
            return ExitCode::from(2);
        }
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}

enum Request<'a> {
    Help,
    Run(&'static Task, &'a [String]),
}

fn parse(args: &[String]) -> Result<Request<'_>, String> {
    let Some((name, rest)) = args.split_first() else {
        return Ok(Request::Help);
    };
    // What follows `--` is not ours: `-- --help` asks cargo test for its help.
    if args
        .iter()
        .take_while(|arg| *arg != "--")
        .any(|arg| is_help(arg))
    {
        return Ok(Request::Help);
    }
    let Some(task) = TASKS.iter().find(|task| task.name == name) else {
        let kind = if name.starts_with('-') {
            "flag"
        } else {
            "command"
        };
        let known: Vec<_> = TASKS.iter().map(|task| task.name).collect();
        return Err(format!(
            "unknown {kind} `{name}`; the commands are: {}",
            known.join(", ")
        ));
    };
    let passes_on = task.takes == Takes::AfterDashes;
    match rest {
        [] => Ok(Request::Run(task, rest)),
        _ if task.takes == Takes::All => Ok(Request::Run(task, rest)),
        [dashes, passed @ ..] if passes_on && dashes == "--" => Ok(Request::Run(task, passed)),
        [extra, ..] if passes_on => Err(format!(
            "unknown argument `{extra}`; `cargo xtask {name}` takes arguments of cargo {name} after `--`"
        )),
        [extra, ..] => Err(format!(
            "unknown argument `{extra}`; `cargo xtask {name}` takes none"
        )),
    }
}

fn is_help(arg: &str) -> bool {
    matches!(arg, "-h" | "--help" | "help")
}

fn help() -> String {
    let width = TASKS
        .iter()
        .map(|task| task.name.len())
        .max()
        .unwrap_or_default();
    let mut text = String::from("Usage: cargo xtask <command>\n\nCommands:\n");
    for task in &TASKS {
        let indent = format!("\n{:width$}", "", width = width + 4);
        let about = task.about.replace('\n', &indent);
        writeln!(text, "  {:width$}  {about}", task.name).expect("a String takes text");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> String {
        let args: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        match parse(&args) {
            Ok(Request::Help) => "help".into(),
            Ok(Request::Run(task, passed)) => format!("{} {passed:?}", task.name),
            Err(wrong) => wrong,
        }
    }

    #[test]
    fn help_is_what_no_arguments_and_its_flags_give() {
        for line in ["", "--help", "-h", "help", "test --help", "check -h"] {
            assert_eq!(parsed(line), "help", "{line}");
        }
    }

    #[test]
    fn what_follows_the_dashes_is_passed_on_as_it_is() {
        assert_eq!(parsed("test"), "test []");
        assert_eq!(parsed("test --"), "test []");
        assert_eq!(
            parsed("test -- -p x -- --help"),
            r#"test ["-p", "x", "--", "--help"]"#
        );
    }

    #[test]
    fn the_long_runs_take_their_own_arguments() {
        assert_eq!(parsed("sim --seeds 9"), r#"sim ["--seeds", "9"]"#);
        assert_eq!(parsed("soak --seed 7"), r#"soak ["--seed", "7"]"#);
    }

    #[test]
    fn what_is_unknown_is_named_with_what_is_known() {
        assert_eq!(
            parsed("tset"),
            "unknown command `tset`; the commands are: test, check, sim, bench, rust-versions, dependencies, \
             soak, scale, cancellations"
        );
        assert!(parsed("--quiet test").starts_with("unknown flag `--quiet`"));
        assert!(parsed("test --release").contains("after `--`"));
        assert!(parsed("check --fix").contains("takes none"));
    }

    #[test]
    fn every_command_is_in_the_help() {
        let help = help();
        for task in &TASKS {
            assert!(
                help.contains(&format!("\n  {} ", task.name)),
                "{}",
                task.name
            );
        }
    }
}
