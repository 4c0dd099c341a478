//! `leasehold inspect`

use std::fmt::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use leasehold::core::protocol::Weight;
use leasehold::core::{Inspection, Listing};
use leasehold::{Coordinator, ResourceName};
use serde_json::{Value, json};

use crate::args::InspectArgs;
use crate::exit::Failure;
use crate::{name, out, place};

pub(crate) async fn run(args: &InspectArgs) -> Result<ExitCode, Failure> {
    let builder = args.place.shared()?.label(place::label(Some("inspect")));
    let coord = builder.connect().await?;
    let found = find(&coord, args).await;
    coord.shutdown(Duration::ZERO).await;
    let (resources, is_complete) = found?;
    if args.json {
        let resources: Vec<_> = resources.iter().map(as_json).collect();
        out::line(json!({ "resources": resources, "is_complete": is_complete }))?;
    } else if resources.is_empty() {
        eprintln!(
            "leasehold: nobody holds or waits for {}",
            args.name.as_deref().unwrap_or("anything")
        );
    } else {
        out::print(table(&resources))?;
    }
    if !is_complete {
        eprintln!("leasehold: there are more; see --limit");
    }
    Ok(ExitCode::SUCCESS)
}

async fn find(coord: &Coordinator, args: &InspectArgs) -> Result<(Vec<Inspection>, bool), Failure> {
    let Some(name) = &args.name else {
        let Listing {
            resources,
            is_complete,
            ..
        } = coord.list("", args.limit).await?;
        return Ok((resources, is_complete));
    };
    let names = if name.starts_with('~') && name.contains('/') {
        vec![ResourceName::from_store(name)]
    } else {
        let mut names = vec![
            name::of_lock(name)?,
            name::of_semaphore(name)?,
            name::of_election(name)?,
        ];
        // With a slash a lock and a semaphore have one name.
        names.dedup();
        names
    };
    let mut resources = Vec::new();
    for name in names {
        let found = coord.inspect(&name).await?;
        if !(found.holders.is_empty() && found.waiters.is_empty()) {
            resources.push(found);
        }
    }
    Ok((resources, true))
}

/// For people: tenths below a minute, seconds beyond.
fn seconds(duration: Duration) -> String {
    if duration < Duration::from_mins(1) {
        return format!("{:.1}s", duration.as_secs_f64());
    }
    humantime::format_duration(Duration::from_secs(duration.as_secs())).to_string()
}

const HEADINGS: [&str; 6] = ["NAME", "PLACE", "WHO", "FENCE", "FOR", "LASTS"];

fn table(resources: &[Inspection]) -> String {
    let mut rows = vec![HEADINGS.map(str::to_owned)];
    for found in resources {
        let name = found.name.to_string();
        for holder in &found.holders {
            let lasts = match &holder.revoked {
                Some(revoked) => {
                    format!("{}, revoked: {}", seconds(holder.remaining), revoked.reason)
                }
                None => seconds(holder.remaining),
            };
            let fence = holder.fence.map_or_else(|| "-".into(), |f| f.to_string());
            let place = match (holder.weight, found.permits) {
                (Weight::All, _) => "holds".into(),
                (Weight::Units(units), Some(permits)) => format!("has {units} of {permits}"),
                (Weight::Units(_), None) => "shares".into(),
            };
            rows.push([
                name.clone(),
                place,
                holder.label.clone(),
                fence,
                seconds(holder.held_for),
                lasts,
            ]);
        }
        for waiter in &found.waiters {
            let live = if waiter.is_live { "-" } else { "not live" };
            let mut place = format!("waits, {}", waiter.place + 1);
            if let (Weight::Units(units), Some(_)) = (waiter.weight, found.permits) {
                // A `String` takes all that is written.
                let _ = write!(place, ", for {units}");
            }
            let waits = seconds(waiter.waits_for);
            rows.push([
                name.clone(),
                place,
                waiter.label.clone(),
                "-".into(),
                waits,
                live.into(),
            ]);
        }
    }
    let width = |column: usize| {
        rows.iter()
            .map(|row| row[column].chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths: [usize; 6] = std::array::from_fn(width);
    let mut text = String::new();
    for row in &rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(widths) {
            // A `String` takes all that is written.
            let _ = write!(line, "{cell:width$}  ");
        }
        text += line.trim_end();
        text.push('\n');
    }
    text
}

fn as_json(found: &Inspection) -> Value {
    // Of a semaphore: how many.
    let permits = |weight| match (weight, found.permits) {
        (Weight::Units(units), Some(_)) => Some(units.get()),
        _ => None,
    };
    let holders = found.holders.iter().map(|holder| {
        json!({
            "label": holder.label,
            "fence": holder.fence.map(leasehold::Fence::get),
            "is_shared": holder.weight != Weight::All,
            "permits": permits(holder.weight),
            "held_for_ms": millis(holder.held_for),
            "remaining_ms": millis(holder.remaining),
            "revoked": holder.revoked.as_ref().map(|revoked| &revoked.reason),
        })
    });
    let waiters = found.waiters.iter().map(|waiter| {
        json!({
            "label": waiter.label,
            "place": waiter.place + 1,
            "is_shared": waiter.weight != Weight::All,
            "permits": permits(waiter.weight),
            "waits_for_ms": millis(waiter.waits_for),
            "is_live": waiter.is_live,
        })
    });
    json!({
        "name": found.name.as_str(),
        "is_held": found.is_held(),
        "permits": found.permits,
        "holders": holders.collect::<Vec<_>>(),
        "waiters": waiters.collect::<Vec<_>>(),
    })
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
