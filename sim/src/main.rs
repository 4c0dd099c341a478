//! Plays many seeds; `cargo xtask sim` builds and starts this.
#![forbid(unsafe_code)]

use std::ops::Range;
use std::process::ExitCode;

use leasehold_sim::{play, report, run_with};

const HELP: &str = "\
Usage: cargo xtask sim [--seeds N] [--start S] | --seed S [--steps] | --planted

Plays N seeds (default 200) from S (default 0), each a fleet on a store and a network that fail, and checks every
promise over what happened.
  --seed S   plays that one alone and prints all that happened, with --steps also each step of the store
  --planted  breaks protocol and client on purpose, in each of many ways, and plays up to N seeds until that is seen";

#[derive(Debug, PartialEq)]
enum Request {
    Help,
    Many(Range<u64>),
    One(u64, bool),
    Planted(u64),
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match parse(&args) {
        Ok(Request::Help) => {
            println!("{HELP}");
            ExitCode::SUCCESS
        }
        Ok(Request::Many(seeds)) => many(seeds),
        Ok(Request::One(seed, steps)) => one(seed, steps),
        Ok(Request::Planted(seeds)) => planted(seeds),
        Err(wrong) => {
            eprintln!("error: {wrong}\n\n{HELP}");
            ExitCode::from(2)
        }
    }
}

fn parse(args: &[String]) -> Result<Request, String> {
    let (mut seeds, mut start, mut one) = (200, 0, None);
    let (mut planted, mut steps) = (false, false);
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        let target = match arg.as_str() {
            "-h" | "--help" => return Ok(Request::Help),
            "--planted" => {
                planted = true;
                continue;
            }
            "--steps" => {
                steps = true;
                continue;
            }
            "--seeds" => &mut seeds,
            "--start" => &mut start,
            "--seed" => one.insert(0),
            _ => return Err(format!("unknown argument `{arg}`")),
        };
        let value = args.next().and_then(|value| value.parse().ok());
        *target = value.ok_or_else(|| format!("`{arg}` takes a number"))?;
    }
    Ok(match one {
        Some(_) if planted => return Err("`--planted` plays many seeds: without `--seed`".into()),
        Some(seed) => Request::One(seed, steps),
        None if planted => Request::Planted(seeds),
        None => Request::Many(start..start.saturating_add(seeds)),
    })
}

fn many(seeds: Range<u64>) -> ExitCode {
    let summary = play(seeds);
    if let Some((seed, outcome)) = &summary.failed {
        println!("{}\n", report(*seed, outcome));
    }
    println!("sim: {summary}");
    match summary.failed {
        None => ExitCode::SUCCESS,
        Some(_) => ExitCode::FAILURE,
    }
}

fn one(seed: u64, shows_steps: bool) -> ExitCode {
    let outcome = run_with(seed, shows_steps);
    for event in &outcome.history {
        println!("{event}");
    }
    if outcome.violations.is_empty() {
        println!("sim: seed {seed} keeps every promise");
        return ExitCode::SUCCESS;
    }
    println!("\n{}", report(seed, &outcome));
    ExitCode::FAILURE
}

#[cfg(feature = "planted-bugs")]
fn planted(seeds: u64) -> ExitCode {
    use leasehold_core::planted::Bug;

    let rows = leasehold_sim::hunt(Bug::ALL, seeds, |row| {
        let name = format!("{:?}", row.bug);
        let caught = match row.by {
            Some((seed, rule)) => format!("seed {seed:3}: {rule}"),
            None => "SURVIVED".into(),
        };
        let (took, what) = (row.took.as_secs_f64(), row.bug.what());
        println!("{name:23}  {caught:48}  {took:5.1} s  {what}");
    });
    let survived = rows.iter().filter(|row| row.by.is_none()).count();
    let bugs = rows.len();
    println!("sim: {bugs} planted bugs, {survived} of them survived {seeds} seeds");
    if survived == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

#[cfg(not(feature = "planted-bugs"))]
fn planted(_seeds: u64) -> ExitCode {
    eprintln!("error: built without the feature `planted-bugs`: use `cargo xtask sim --planted`");
    ExitCode::from(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Request, String> {
        let args: Vec<_> = line.split_whitespace().map(str::to_owned).collect();
        parse(&args)
    }

    #[test]
    fn seeds_are_counted_from_a_start_or_one_is_named() {
        assert_eq!(parsed(""), Ok(Request::Many(0..200)));
        assert_eq!(parsed("--seeds 5 --start 10"), Ok(Request::Many(10..15)));
        assert_eq!(parsed("--seed 7"), Ok(Request::One(7, false)));
        assert_eq!(parsed("--seed 7 --steps"), Ok(Request::One(7, true)));
        assert_eq!(parsed("--seed 7 --help"), Ok(Request::Help));
        assert_eq!(parsed("--planted --seeds 9"), Ok(Request::Planted(9)));
        assert!(parsed("--planted --seed 9").is_err());
    }

    #[test]
    fn what_is_no_number_is_named() {
        assert!(parsed("--seeds many").is_err_and(|error| error.contains("--seeds")));
        assert!(parsed("--seed").is_err_and(|error| error.contains("--seed")));
        assert!(parsed("--sede 1").is_err_and(|error| error.contains("--sede")));
    }
}
