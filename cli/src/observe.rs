//! `leasehold elect --observe`: says who leads, and each change of it.

use std::io::{self, Write};
use std::process::ExitCode;

use leasehold::{Error, Leader, Observation};
use serde_json::json;

use crate::args::ElectArgs;
use crate::exit::Failure;
use crate::under::wind_down;
use crate::wrap::Signals;
use crate::{name, place};

pub(crate) async fn run(args: &ElectArgs) -> Result<ExitCode, Failure> {
    // Refused before anything is opened.
    name::of_election(&args.name)?;
    let mut signals = Signals::listen().map_err(|e| Failure::Io("cannot listen for signals", e))?;
    let label = args.under.label.as_deref().unwrap_or("observe");
    let builder = args.under.place.shared()?.label(place::label(Some(label)));
    let coord = signals.or(builder.connect()).await?;
    let election = coord.election(&args.name)?.ttl(args.ttl);
    let mut observer = election.observe();
    let ended = loop {
        let next = async { Ok::<_, Error>(observer.next().await) };
        match signals.or(Box::pin(next)).await {
            Ok(Some(seen)) => match say(&seen, args.json) {
                Ok(()) => {}
                // Whoever read it has seen enough.
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                    break Ok(ExitCode::SUCCESS);
                }
                Err(error) => break Err(Failure::Io("cannot write", error)),
            },
            Ok(None) => break Ok(ExitCode::SUCCESS),
            Err(failure) => break Err(failure),
        }
    };
    wind_down(&coord).await;
    ended
}

/// One line, at once: it may be read by a program that acts on it.
fn say(seen: &Observation, as_json: bool) -> io::Result<()> {
    let line = if as_json { json(seen) } else { text(seen) };
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}

fn text(seen: &Observation) -> String {
    match seen {
        Observation::Led(Leader { term, label, .. }) => format!("led {term} {label}"),
        Observation::Vacant => "vacant".into(),
        Observation::Unknown { why } => format!("unknown {why}"),
        other => format!("{other:?}"),
    }
}

fn json(seen: &Observation) -> String {
    match seen {
        Observation::Led(leader) => json!({
            "state": "led",
            "term": leader.term.get(),
            "label": leader.label,
            "led_for_ms": u64::try_from(leader.leads_for.as_millis()).unwrap_or(u64::MAX),
        }),
        Observation::Vacant => json!({ "state": "vacant" }),
        Observation::Unknown { why } => json!({ "state": "unknown", "why": why }),
        other => json!({ "state": format!("{other:?}") }),
    }
    .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn not_to_know_is_not_a_vacancy() {
        let unknown = Observation::Unknown {
            why: "no answer".into(),
        };
        assert_eq!(text(&unknown), "unknown no answer");
        assert_eq!(json(&unknown), r#"{"state":"unknown","why":"no answer"}"#);
        assert_eq!(text(&Observation::Vacant), "vacant");
        assert_eq!(json(&Observation::Vacant), r#"{"state":"vacant"}"#);
    }
}
