//! The header fields: what the draft shows is read as it means it, and what is written can be read.

#![allow(clippy::unwrap_used, reason = "a test fails with the error it met")]

use std::time::Duration;

use leasehold_ratelimit::Quota;
use leasehold_ratelimit::fields::{
    FieldError, QuotaPolicy, QuotaUnit, ServiceLimit, list, retry_after,
};

fn policies(value: &str) -> Vec<QuotaPolicy> {
    QuotaPolicy::parse_list(value.as_bytes()).unwrap_or_else(|error| panic!("{value}: {error}"))
}

fn limits(value: &str) -> Vec<ServiceLimit> {
    ServiceLimit::parse_list(value.as_bytes()).unwrap_or_else(|error| panic!("{value}: {error}"))
}

/// Every `RateLimit-Policy` of draft-ietf-httpapi-ratelimit-headers-11: sections 3, 3.2 and 8.5, appendices B.1.3, B.2.1 and B.2.3.
#[test]
fn the_policies_of_the_draft_are_read() {
    let two = |first: (&str, u64, u64), second: (&str, u64, u64)| {
        [first, second]
            .map(|(name, q, w)| QuotaPolicy::new(name, q, Some(w)))
            .to_vec()
    };
    let one = |name: &str, quota, window_s| vec![QuotaPolicy::new(name, quota, Some(window_s))];
    let key = [0x70, 0x7b, 0x1d, 0xb1, 0x16, 0xbc, 0xf7].to_vec();
    let other_key = [0xb1, 0xd7, 0xe3, 0x2c, 0x95, 0x0e, 0x50].to_vec();
    let bytes = QuotaPolicy::new("peruser", 65_535, Some(10)).unit(QuotaUnit::ContentBytes);
    for (value, meant) in [
        (
            r#""burst";q=100;w=60,"daily";q=1000;w=86400"#,
            two(("burst", 100, 60), ("daily", 1000, 86_400)),
        ),
        (r#""default";q=100;w=10"#, one("default", 100, 10)),
        (
            r#""permin";q=50;w=60,"perhr";q=1000;w=3600"#,
            two(("permin", 50, 60), ("perhr", 1000, 3600)),
        ),
        (
            r#""peruser";q=100;w=60;pk=:cHsdsRa894==:"#,
            vec![QuotaPolicy::new("peruser", 100, Some(60)).partition_key(key)],
        ),
        (
            r#""peruser";q=65535;qu="content-bytes";w=10;pk=:sdfjLJUOUH==:"#,
            vec![bytes.partition_key(other_key)],
        ),
        (
            r#""somepolicy";q=10000;w=1000"#,
            one("somepolicy", 10_000, 1000),
        ),
        (r#""basic";q=100;w=60"#, one("basic", 100, 60)),
        (r#""fixedwindow";q=100;w=60"#, one("fixedwindow", 100, 60)),
        (r#""dynamic";q=15;w=20"#, one("dynamic", 15, 20)),
    ] {
        let read = policies(value);
        assert_eq!(read, meant, "{value}");
        assert_eq!(policies(&list(&read)), read, "written and read again");
    }
}

/// Every `RateLimit` of the draft: sections 4, 4.2, 6, 7 and 8.5, appendix B.
#[test]
fn the_limits_of_the_draft_are_read() {
    let key = |key: &str, limit: ServiceLimit| limit.partition_key(key.as_bytes());
    for (value, meant) in [
        (
            r#""default";r=50;t=30"#,
            ServiceLimit::new("default", 50, Some(30)),
        ),
        (
            r#""default";r=999;pk=:dHJpYWwxMjEzMjM=:"#,
            key("trial121323", ServiceLimit::new("default", 999, None)),
        ),
        (
            r#""default";r=300000000;t=60;pk=:QXBwLTk5OQ==:"#,
            key(
                "App-999",
                ServiceLimit::new("default", 300_000_000, Some(60)),
            ),
        ),
        (
            r#""problemPolicy";r=0;t=10"#,
            ServiceLimit::new("problemPolicy", 0, Some(10)),
        ),
        (
            r#""default";r=1;t=7"#,
            ServiceLimit::new("default", 1, Some(7)),
        ),
        (
            r#""daily";r=1;t=86400"#,
            ServiceLimit::new("daily", 1, Some(86_400)),
        ),
        (
            r#""somepolicy";r=10000;t=10"#,
            ServiceLimit::new("somepolicy", 10_000, Some(10)),
        ),
        (
            r#""dayLimit";r=100;t=36000"#,
            ServiceLimit::new("dayLimit", 100, Some(36_000)),
        ),
        (
            r#""dynamic";r=9;t=50"#,
            ServiceLimit::new("dynamic", 9, Some(50)),
        ),
    ] {
        let read = limits(value);
        assert_eq!(read, [meant], "{value}");
        assert_eq!(list(&read), value, "written as the draft does");
    }
}

#[test]
fn lists_and_parameters_are_read_as_structured_fields_are() {
    assert_eq!(limits(""), []);
    let spaced = limits("  \"a\"; r=1;  t=2 \t,\t \"b\";r=3  ");
    assert_eq!(
        spaced,
        [
            ServiceLimit::new("a", 1, Some(2)),
            ServiceLimit::new("b", 3, None)
        ]
    );
    // Of several of one name the last counts; what is not known is a comment, of whatever type.
    let others =
        r#""a";r=1;acme;acme-x=1.25;acme-y=?0;acme-z=to/ken:9;d=@-7;e=%"f%c3%bc";f=:AAE:;r=2"#;
    assert_eq!(limits(others), [ServiceLimit::new("a", 2, None)]);
    let named = ServiceLimit::new(r#"a "b\""#, 1, None);
    assert_eq!(named.to_string(), r#""a \"b\\\"";r=1"#);
    assert_eq!(limits(&named.to_string()), [named]);
    let huge = ServiceLimit::new("größe", u64::MAX, Some(u64::MAX));
    assert_eq!(
        huge.to_string(),
        r#""gr%c3%b6%c3%9fe";r=999999999999999;t=999999999999999"#
    );
    for bytes in [
        &b""[..],
        b"f",
        b"fo",
        b"foo",
        b"foob",
        &[0, 255, 62, 63, 250],
    ] {
        let limit = ServiceLimit::new("a", 1, None).partition_key(bytes);
        assert_eq!(limits(&limit.to_string()), [limit]);
    }
    let foobar = ServiceLimit::new("a", 1, None).partition_key("foob");
    assert_eq!(foobar.to_string(), r#""a";r=1;pk=:Zm9vYg==:"#);
    assert_eq!(
        limits(r#""a";r=1;pk=:Zm9vYg:"#),
        [foobar],
        "without padding"
    );
}

#[test]
fn what_is_malformed_is_refused_with_its_place() {
    for (value, at) in [
        // Fields of earlier drafts.
        ("limit=100, remaining=50, reset=5", 0),
        ("default;r=50", 0),
        ("(\"a\" \"b\");r=1", 0),
        (r#""a";r=1,"#, 8),
        (r#""a";r=1 "b";r=2"#, 8),
        (r#""a";R=1"#, 4),
        (r#""a";r="#, 6),
        (r#""a;r=1"#, 6),
        ("\"\u{e4}\";r=1", 2),
        (r#""a\n";r=1"#, 3),
        (r#""a";r=1234567890123456"#, 22),
        (r#""a";r=1;t=-"#, 11),
        (r#""a";r=1;pk=:*:"#, 13),
        (r#""a";r=1;pk=:AAAA"#, 16),
        (r#""a";r=1;pk=:A:"#, 13),
        (r#""a";r=1;x=?2"#, 11),
        (r#""a";r=1;x=1."#, 12),
    ] {
        let error = ServiceLimit::parse_list(value.as_bytes()).unwrap_err();
        let FieldError::Malformed { at: found, .. } = &error else {
            panic!("{value}: {error}");
        };
        assert_eq!(*found, at, "{value}: {error}");
    }
    for (value, needed) in [
        (r#""a";t=1"#, "r"),
        (r#""a";r"#, "r"),
        (r#""a";r=-1"#, "r"),
        (r#""a";r=1.5"#, "r"),
        (r#""a";r="1""#, "r"),
        (r#""a";r=1;t=soon"#, "t"),
        (r#""a";r=1;pk="key""#, "pk"),
    ] {
        let error = ServiceLimit::parse_list(value.as_bytes()).unwrap_err();
        assert!(
            matches!(&error, FieldError::Parameter { parameter, .. } if *parameter == needed),
            "{value}: {error}"
        );
    }
    for value in [r#""a";w=1"#, r#""a";q=1;w=0"#, r#""a";q=1;qu=requests"#] {
        assert!(
            QuotaPolicy::parse_list(value.as_bytes()).is_err(),
            "{value}"
        );
    }
    let many = list(&vec![ServiceLimit::new("a", 1, None); 65]);
    assert_eq!(
        ServiceLimit::parse_list(many.as_bytes()),
        Err(FieldError::TooLong)
    );
}

#[test]
fn a_quota_is_told_in_whole_seconds_and_never_faster_than_it_is() {
    for quota in [
        Quota::per_second(100).burst(20),
        Quota::per_minute(5),
        Quota::per_minute(5).burst(10),
        Quota::per(1, Duration::from_millis(300)),
        Quota::per(7, Duration::from_micros(1_500_001)).burst(3),
        Quota::per_day(10_000).burst(10_000),
        Quota::at_most(100, Duration::from_millis(1040)).burst(1),
    ] {
        let told = QuotaPolicy::of("a", quota);
        let window_s = told.window_s.unwrap();
        // In units x µs: exact.
        let least = u128::from(quota.units()) * u128::from(window_s) * 1_000_000;
        let of = |units: u64| u128::from(units) * quota.period().as_micros();
        assert!(of(told.quota) <= least, "{quota}: {told}");
        assert!(of(told.quota + 1) > least, "{quota}: {told}");
        assert!(told.quota >= quota.burst_units(), "{quota}: {told}");
        assert_eq!(policies(&told.to_string()), [told]);
    }
}

#[test]
fn retry_after_is_read_in_seconds_and_as_a_date_of_the_servers_clock() {
    let date = Some(&b"Sun, 06 Nov 1994 08:49:07 GMT"[..]);
    for (value, seconds) in [
        ("0", 0),
        (" 17 ", 17),
        ("Sun, 06 Nov 1994 08:49:37 GMT", 30),
        ("Sunday, 06-Nov-94 08:49:37 GMT", 30),
        ("Sun Nov  6 08:49:37 1994", 30),
        ("Wednesday, 06-Nov-24 08:49:37 GMT", 946_771_230),
        ("Tue, 29 Feb 2000 00:00:00 GMT", 951_782_400 - 784_111_747),
        ("Sun, 06 Nov 1994 08:48:37 GMT", 0),
    ] {
        let read = retry_after(value.as_bytes(), date).unwrap();
        assert_eq!(read, Duration::from_secs(seconds), "{value}");
    }
    assert_eq!(
        retry_after(b"99999999999999999999999", None).unwrap(),
        Duration::from_secs(u64::MAX)
    );
    assert_eq!(
        retry_after(b"Sun, 06 Nov 1994 08:49:37 GMT", None).unwrap(),
        Duration::ZERO
    );
    for value in [
        "",
        "-1",
        "1.5",
        "soon",
        "Sun, 06 Nov 1994 08:49:37",
        "Sun, 06 Foo 1994 08:49:37 GMT",
        "Sun, 32 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 24:49:37 GMT",
    ] {
        assert!(retry_after(value.as_bytes(), None).is_err(), "{value}");
    }
}
