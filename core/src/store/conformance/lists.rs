//! Listing resources.

use std::collections::BTreeSet;

use super::context::{LONG, name};
use super::{Context, Opened};
use crate::store::ListQuery;

async fn listed(session: &Opened, prefix: &str, limit: usize) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut query = ListQuery {
        prefix: prefix.into(),
        after: None,
        limit,
    };
    loop {
        let page = session.handle.leases.list(&query).await.expect("lists");
        for (name, record) in page.value.resources {
            assert!(!record.entries.is_empty(), "{name} is held");
            found.insert(name.to_string());
        }
        query.after = page.value.next;
        if query.after.is_none() {
            return found;
        }
    }
}

/// All that begin so, page by page, and none of another namespace.
pub async fn a_listing_finds_all_that_begin_with_a_prefix(cx: &Context) {
    let one = cx.session().await;
    let other = crate::Namespace::new(&format!("{}-other", cx.namespace()));
    let stranger = cx.session_in(&other.expect("a fine name")).await;
    stranger.take(&name("list*d-stranger"), LONG).await;
    for id in [
        "list*d-1",
        "list*d-2",
        "list*d-3",
        "list*d-{ü}",
        "listed-4",
        "LIST*D-5",
    ] {
        one.take(&name(id), LONG).await;
    }
    for limit in [1, 2, 1000] {
        let all: Vec<_> = listed(&one, "case/list*d-", limit)
            .await
            .into_iter()
            .collect();
        let expected = [
            "case/list*d-1",
            "case/list*d-2",
            "case/list*d-3",
            "case/list*d-{ü}",
        ];
        assert_eq!(all, expected, "pages of {limit}");
    }
    assert_eq!(listed(&one, "", 1000).await.len(), 6);
    assert_eq!(listed(&one, "case/none", 1000).await.len(), 0);
}
