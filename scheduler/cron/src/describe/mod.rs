//! Schedules in English.

mod days;
mod shape;
mod times;

use crate::dst::Dst;
use crate::sets::Sets;
use crate::zone::Zone;

/// When a schedule is due, as a phrase: times, days, years, zone.
pub(crate) fn describe(sets: &Sets, zone: &Zone, dst: Dst) -> String {
    let times = times::describe(sets);
    let mut text = times.text;
    let days = days::describe(sets);
    if !days.names_days && times.names_clock_times {
        text.push_str(" every day");
    }
    for part in [days.text, days::years(sets)] {
        if !part.is_empty() {
            text.push(' ');
            text.push_str(&part);
        }
    }
    text.push_str(", ");
    text.push_str(zone.name());
    let is_fixed = !sets.walks && *zone != Zone::UTC;
    text.push_str(match dst {
        Dst::Skip if is_fixed => "; not on days when clocks skip that time",
        Dst::Both if is_fixed => "; twice on days when clocks repeat that time",
        _ => "",
    });
    text
}
