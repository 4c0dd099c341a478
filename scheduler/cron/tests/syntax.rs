//! What expressions mean: each is compared with one that spells it out.

use leasehold_cron::Schedule;

fn parse(expression: &str) -> Schedule {
    match Schedule::parse(expression) {
        Ok(schedule) => schedule,
        Err(error) => panic!("{error}"),
    }
}

#[track_caller]
fn same(left: &str, right: &str) {
    assert_eq!(parse(left), parse(right));
}

#[track_caller]
fn differ(left: &str, right: &str) {
    assert_ne!(parse(left), parse(right));
}

/// The first `N` instants from Thursday 1970-01-01, as days since then.
fn days<const N: usize>(expression: &str) -> [i64; N] {
    let schedule = parse(expression);
    let mut at = -1;
    std::array::from_fn(|_| {
        at = schedule.next_after(at).expect("one more");
        assert_eq!(at % 86_400, 0, "midnight");
        at / 86_400
    })
}

#[test]
fn s12_day_of_week_one_is_monday() {
    // 1970-01-05 was a Monday.
    assert_eq!(days("0 0 * * 1"), [4, 11, 18]);
    assert_eq!(days("0 0 0 * * 1"), [4, 11, 18]);
    assert_eq!(days("0 0 0 * * 1 *"), [4, 11, 18]);
    same("0 0 * * 1", "0 0 * * MON");
}

#[test]
fn s12_both_zero_and_seven_are_sunday() {
    assert_eq!(days("0 0 * * 0"), [3, 10, 17]);
    same("0 0 * * 7", "0 0 * * 0");
    same("0 0 * * 0,7", "0 0 * * 0");
    same("0 0 * * sun", "0 0 * * 0");
}

#[test]
fn s12_sets_of_weekdays_are_translated_day_by_day() {
    same("0 0 * * 5-7", "0 0 * * fri,sat,sun");
    same("0 0 * * */2", "0 0 * * */2,0,2,4,6");
    assert_eq!(days("0 0 * * */2"), [0, 2, 3, 5, 7]);
    same("0 0 * * 0-7", "0 0 * * *");
    same("0 0 * * 1-7/2", "0 0 * * mon,wed,fri,sun");
}

#[test]
fn s16_both_day_fields_restricted_means_or() {
    // The Fridays, and the 13th, a Tuesday.
    assert_eq!(days("0 0 13 * 5"), [1, 8, 12, 15]);
    assert_eq!(days("0 0 0 13 * 5"), [1, 8, 12, 15]);
    assert_eq!(days("0 0 0 13 * 5 *"), [1, 8, 12, 15]);
    // All days of the month, spelt out, are restricted too: then every day matches.
    same("0 0 1-31 * 5", "0 0 * * *");
}

#[test]
fn a_day_field_that_starts_with_a_star_has_to_match_as_well() {
    assert_eq!(days("0 0 * * 5"), [1, 8, 15]);
    assert_eq!(days("0 0 13 * *"), [12, 43]);
    // Odd dates that are Mondays: the 5th and the 19th.
    assert_eq!(days("0 0 */2 * 1"), [4, 18]);
    // The 1st if it is a Sunday, Tuesday, Thursday or Saturday: those of January, February, March and August.
    assert_eq!(days("0 0 1 * */2"), [0, 31, 59, 212]);
}

#[test]
fn five_fields_mean_second_zero() {
    same("*/5 * * * *", "0 */5 * * * *");
    differ("*/5 * * * *", "*/5 * * * * *");
}

#[test]
fn six_fields_start_with_the_seconds_and_seven_end_with_the_years() {
    same("1 2 3 4 5 *", "1 2 3 4 5 * *");
    same("1 2 3 4 5 * *", "1 2 3 4 5 * 1970-9999");
    let schedule = parse("1 2 3 4 5 * 1972");
    // 1972-05-04T03:02:01Z
    assert_eq!(schedule.next_after(0), Some(73_796_521));
    assert_eq!(schedule.next_after(73_796_521), None);
}

#[test]
fn lists_ranges_and_steps() {
    same("0,10,20 * * * *", "0-20/10 * * * *");
    same("5-7 * * * *", "5,6,7 * * * *");
    same("7,5,6,5 * * * *", "5-7 * * * *");
    same("*/20 * * * *", "0,20,40 * * * *");
    same("*/7 * * * *", "0,7,14,21,28,35,42,49,56 * * * *");
    same("0 0 */10 * *", "0 0 */10,1,11,21,31 * *");
    same("1-9/4,30 * * * *", "1,5,9,30 * * * *");
    same("3-3 * * * *", "3 * * * *");
    same("05 * * * *", "5 * * * *");
}

#[test]
fn a_start_with_a_step_goes_to_the_end_of_the_field() {
    same("10/20 * * * *", "10-59/20 * * * *");
    same("0 8/6 * * *", "0 8,14,20 * * *");
    same("0 0 1 3/4 *", "0 0 1 3,7,11 *");
    same("0 0 * * 1/2", "0 0 * * 1,3,5,7");
}

#[test]
fn names_stand_for_numbers_in_any_case() {
    same(
        "0 0 1 jan,FEB,Mar,apr,may,jun,jul,aug,sep,oct,nov,dec *",
        "0 0 1 1-12 *",
    );
    same("0 0 1 Jan-jUn/2 *", "0 0 1 1,3,5 *");
    same("0 0 * * mon-FRI", "0 0 * * 1-5");
    same("0 0 * * Sun,tUe,wed,thu,sat", "0 0 * * 0,2,3,4,6");
}

#[test]
fn sunday_by_name_may_end_a_range() {
    same("0 0 * * fri-sun", "0 0 * * 5-7");
    same("0 0 * * sun-tue", "0 0 * * 0-2");
    same("0 0 * * sun-sun", "0 0 * * 0");
}

#[test]
fn at_names_stand_for_expressions_in_any_case() {
    same("@yearly", "0 0 1 1 *");
    same("@Annually", "0 0 1 1 *");
    same("@MONTHLY", "0 0 1 * *");
    same("@weekly", "0 0 * * 0");
    same("@dailY", "0 0 * * *");
    same("@midnight", "0 0 * * *");
    same(" @hourly\n", "0 * * * *");
}

#[test]
fn any_white_space_separates_fields() {
    same("  1\t2 \n 3  4 *  ", "1 2 3 4 *");
}

#[test]
fn the_expression_is_kept_as_written_without_outer_blanks() {
    let schedule = parse(" */5  * * * MON ");
    assert_eq!(schedule.expression(), "*/5  * * * MON");
    assert_eq!(schedule.to_string(), "*/5  * * * MON");
    assert_eq!(format!("{schedule:?}"), "Schedule(\"*/5  * * * MON\")");
}

#[test]
fn years_that_are_over_are_not_an_error() {
    let schedule = parse("0 0 0 1 1 * 1970");
    assert_eq!(schedule.next_after(-1), Some(0));
    assert_eq!(schedule.next_after(0), None);
}
