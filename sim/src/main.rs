//! Plays many seeds; `cargo xtask sim` builds and starts this.
#![forbid(unsafe_code)]

use std::ops::Range;
use std::process::ExitCode;

use leasehold_sim::schedules::History;
use leasehold_sim::{Simulation, play, report, run_with, schedules};

const HELP: &str = "\
Usage: cargo xtask sim [--what locks|schedulers|all] [--seeds N] [--start S]
       cargo xtask sim [--what locks|schedulers|all] --seed S [--steps]
       cargo xtask sim [--what locks|schedulers|all] --planted [--seeds N]

Plays N seeds (default 200) from S (default 0) of each simulation, and checks every promise over what happened.
  --what locks       clients that lock, on a store and a network that fail
  --what schedulers  fleets that run jobs there, and are deployed, frozen, cut off and killed
  --seed S   plays that one alone and prints all that happened; with --steps also each step of the store (locks)
  --planted  breaks protocol, client and scheduler on purpose, in each of many ways, and plays up to N seeds until that
             is seen";

#[derive(Debug, PartialEq)]
struct Request {
    what: Vec<Simulation>,
    how: How,
}

#[derive(Debug, PartialEq)]
enum How {
    Help,
    Many(Range<u64>),
    One(u64, bool),
    Planted(u64),
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let request = match parse(&args) {
        Ok(request) => request,
        Err(wrong) => {
            eprintln!("error: {wrong}\n\n{HELP}");
            return ExitCode::from(2);
        }
    };
    // Each is played, whatever became of the others.
    let is_well = match request.how {
        How::Help => {
            println!("{HELP}");
            true
        }
        How::Many(seeds) => each(&request.what, |simulation| many(simulation, seeds.clone())),
        How::One(seed, steps) => each(&request.what, |simulation| one(simulation, seed, steps)),
        How::Planted(seeds) => planted(&request.what, seeds),
    };
    if is_well {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn each(what: &[Simulation], play: impl Fn(Simulation) -> bool) -> bool {
    let failed = what.iter().filter(|simulation| !play(**simulation));
    failed.count() == 0
}

fn parse(args: &[String]) -> Result<Request, String> {
    let (mut seeds, mut start, mut one) = (200, 0, None);
    let (mut planted, mut steps) = (false, false);
    let mut what = Simulation::ALL.to_vec();
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        let target = match arg.as_str() {
            "-h" | "--help" => {
                let how = How::Help;
                return Ok(Request { what, how });
            }
            "--planted" => {
                planted = true;
                continue;
            }
            "--steps" => {
                steps = true;
                continue;
            }
            "--what" => {
                what = named(args.next())?;
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
    let how = match one {
        Some(_) if planted => return Err("`--planted` plays many seeds: without `--seed`".into()),
        Some(seed) => How::One(seed, steps),
        None if planted => How::Planted(seeds),
        None => How::Many(start..start.saturating_add(seeds)),
    };
    Ok(Request { what, how })
}

fn named(name: Option<&String>) -> Result<Vec<Simulation>, String> {
    let all = Simulation::ALL.to_vec();
    match name.map_or("", String::as_str) {
        "all" => Ok(all),
        name => {
            let chosen = all.into_iter().find(|simulation| simulation.name() == name);
            let chosen = chosen.ok_or("`--what` takes `locks`, `schedulers` or `all`")?;
            Ok(vec![chosen])
        }
    }
}

fn many(simulation: Simulation, seeds: Range<u64>) -> bool {
    let summary = play(simulation, seeds);
    if let Some(broken) = &summary.broken {
        println!("{}\n", broken.text);
    }
    println!("sim: {summary}");
    summary.broken.is_none()
}

fn one(simulation: Simulation, seed: u64, shows_steps: bool) -> bool {
    let broken = match simulation {
        Simulation::Locks => {
            let outcome = run_with(seed, shows_steps);
            outcome.history.iter().for_each(|event| println!("{event}"));
            report(seed, &outcome)
        }
        Simulation::Schedulers => {
            let outcome = schedules::run(seed);
            let History { setting, events } = &outcome.history;
            println!("{setting:#?}");
            for event in events {
                println!("{event}");
            }
            schedules::report(seed, &outcome)
        }
    };
    if broken.is_empty() {
        let name = simulation.name();
        println!("sim: {name}: seed {seed} keeps every promise");
    } else {
        println!("\n{broken}");
    }
    broken.is_empty()
}

#[cfg(feature = "planted-bugs")]
fn planted(what: &[Simulation], seeds: u64) -> bool {
    let bugs: Vec<_> = (leasehold_sim::Bug::all())
        .filter(|bug| what.contains(&bug.simulation()))
        .collect();
    let rows = leasehold_sim::hunt(&bugs, seeds, |row| {
        let name = row.bug.to_string();
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
    survived == 0
}

#[cfg(not(feature = "planted-bugs"))]
fn planted(_what: &[Simulation], _seeds: u64) -> bool {
    eprintln!("error: built without the feature `planted-bugs`: use `cargo xtask sim --planted`");
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Request, String> {
        let args: Vec<_> = line.split_whitespace().map(str::to_owned).collect();
        parse(&args)
    }

    fn how(line: &str) -> Option<How> {
        parsed(line).ok().map(|request| request.how)
    }

    #[test]
    fn seeds_are_counted_from_a_start_or_one_is_named() {
        assert_eq!(how(""), Some(How::Many(0..200)));
        assert_eq!(how("--seeds 5 --start 10"), Some(How::Many(10..15)));
        assert_eq!(how("--seed 7"), Some(How::One(7, false)));
        assert_eq!(how("--seed 7 --steps"), Some(How::One(7, true)));
        assert_eq!(how("--seed 7 --help"), Some(How::Help));
        assert_eq!(how("--planted --seeds 9"), Some(How::Planted(9)));
        assert!(parsed("--planted --seed 9").is_err());
    }

    #[test]
    fn all_is_simulated_unless_something_is_named() {
        let what = |line: &str| parsed(line).ok().map(|request| request.what);
        assert_eq!(what(""), Some(Simulation::ALL.to_vec()));
        assert_eq!(what("--what all"), Some(Simulation::ALL.to_vec()));
        assert_eq!(what("--what locks"), Some(vec![Simulation::Locks]));
        let schedulers = Some(vec![Simulation::Schedulers]);
        assert_eq!(what("--seeds 3 --what schedulers"), schedulers);
        assert!(parsed("--what caches").is_err_and(|error| error.contains("--what")));
        assert!(parsed("--what").is_err_and(|error| error.contains("--what")));
    }

    #[test]
    fn what_is_no_number_is_named() {
        assert!(parsed("--seeds many").is_err_and(|error| error.contains("--seeds")));
        assert!(parsed("--seed").is_err_and(|error| error.contains("--seed")));
        assert!(parsed("--sede 1").is_err_and(|error| error.contains("--sede")));
    }
}
